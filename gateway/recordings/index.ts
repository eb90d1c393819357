/** Recordings of terminals and commands: kept in a folder, found by their words, played again. */
export { openRecorder, type OpenRecorder } from './recorder.js';
export { describe, eventsIn, eventsOf, kept, recordingOf, type Described } from './folder.js';
export { searchRecordings, type FoundRecording, type RecordingQuery } from './search.js';
export { openRecording, standingOf, type OpenRecording, type RecordedDigest, type Standing } from './standing.js';
export type { CastEvent, CastHeader } from './cast.js';
