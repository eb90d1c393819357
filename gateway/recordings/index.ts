/** Recordings of terminals and commands, and copies of what was transferred: kept in a folder, found, played or taken out again. */
export { openRecorder, type OpenRecorder } from './recorder.js';
export { CopyError, piecesIn, type CopyHeader, type Piece, type Way } from './copy.js';
export { copyOf, decisionOf, describe, eventsIn, eventsOf, kept, recordingOf, type Described } from './folder.js';
export { searchRecordings, type FoundRecording, type RecordingQuery } from './search.js';
export { openRecording, standingOf, type OpenRecording, type RecordedDigest, type Standing } from './standing.js';
export type { CastEvent, CastHeader } from './cast.js';
