import { parentPort, workerData } from 'node:worker_threads';
import { Judge, type Task } from './judge.js';

/** A thread of `sallyport replay`: batches of lines in, tallies out. */
const judge = await Judge.create(workerData as Task);
parentPort!.on('message', (lines: readonly string[]) => parentPort!.postMessage(judge.judge(lines)));
parentPort!.postMessage('ready');
