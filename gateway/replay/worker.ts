import { parentPort, workerData } from 'node:worker_threads';
import { Judge, type Task } from './judge.js';
import type { Batch } from './replay.js';

/** A thread of `sallyport replay`: batches of lines in, tallies out. */
const judge = await Judge.create(workerData as Task);
parentPort!.on('message', ({ lines, first }: Batch) => parentPort!.postMessage(judge.judge(lines, first)));
parentPort!.postMessage('ready');
