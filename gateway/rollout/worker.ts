import { parentPort, workerData } from 'node:worker_threads';
import { ShadowJudge, type ShadowTask } from './judge.js';

/** The thread in which the revision that is tried judges: batches in, tallies out. */
const judge = await ShadowJudge.create(workerData as ShadowTask);
parentPort!.on('message', (batch: string) => parentPort!.postMessage(judge.judge(batch)));
