/** The audit log: written before an operation leaves and after it returns. No record, no operation. */
export { Part } from './chain.js';
export { openAudit, type AuditOptions } from './log.js';
export { mustBeOnDisk } from './durability.js';
export { fileHeadStore, type HeadStore, type Ledger } from './heads.js';
export { openSigner, type Signer } from './signing.js';
export { verifyAudit, type Verified, type VerifyOptions } from './verify.js';
export type { Finding, FindingKind, Note } from './findings.js';
export { filesOf } from './files.js';
export { findDecision, readRecords, type FoundDecision, type ReadOptions } from './read.js';
export { searchAudit, type Found, type SearchOptions } from './search.js';
export type { AuditQuery } from './query.js';
export type { OpenSink, OpenedSink, SinkFile } from './file.js';
export type { Audit, AuditRecord, Entry, RecordKind } from './record.js';
export { isFixed, Members, members, quote, toJson, whole } from './json.js';
export { countIn, eraseIn, type ErasingOptions } from './erasing.js';
