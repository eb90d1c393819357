import { Readable } from 'node:stream';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import type { Decision, Mask } from '#engine';
import type { Session, Submission } from '../../protocol.js';
import type { Answer } from './answer.js';
import { Asking } from './asking.js';
import { Call } from './call.js';
import { Catalogue } from './catalogue.js';
import type { ClientRequest } from './codec.js';
import { readMcpUpstream } from './config.js';
import { Hearing, Listener, type HearingParts } from './hearing.js';
import { masksOf } from './masking.js';
import { requests } from './methods.js';
import type { Use } from './principals.js';
import { answerOf } from './results.js';
import { McpSession } from './session.js';
import { readEvents } from './sse.js';
import { McpTarget } from './upstream.js';
import { compileSchema } from './validation.js';

/** A server that means harm to the gateway itself, to whoever else uses it, or to what is masked. */

const log = pino({ level: 'silent' });
const upstream = readMcpUpstream({ command: ['server'] });
const use = {} as Use;

function answer() {
  const told: string[] = [];
  const event = async (text: string) => told.push(text) > 0;
  const final = (text: string) => told.push(text) > 0;
  return { told, answer: { tells: true, open: true, event, final, end: () => undefined } as unknown as Answer };
}

const requestOf = (method: string, params: ClientRequest['params']): ClientRequest => ({
  kind: 'request',
  id: 1,
  method,
  means: requests[method]!,
  params,
  meta: {},
});

const pattern = (kind: string): Mask => ({
  ...{ code: kind, resource: '*', with: 'pattern', scope: 'output' },
  parameters: { kinds: [kind] },
});
const emails = pattern('email');
const cards = pattern('card');
const field: Mask = { code: 'field', resource: 'lookup:customer.email', with: 'redact', scope: 'output' };
const masks = (...all: Mask[]) => masksOf(all, 'lookup', () => '00');

function hearingWith(parts: Partial<HearingParts> = {}) {
  const replies: string[] = [];
  const gone: string[] = [];
  const hearing = new Hearing({
    log,
    asking: new Asking(1_000),
    reply: async (text) => void replies.push(text),
    admit: () => new Promise(() => undefined),
    hold: () => 'server-1',
    toolsChanged: () => undefined,
    gone: (why) => {
      gone.push(why);
      hearing.close();
    },
    ...parts,
  });
  return { hearing, replies, gone };
}

const ask = (id: number, messages: string) =>
  `{"jsonrpc":"2.0","id":${id},"method":"sampling/createMessage","params":{"messages":${messages}}}`;

describe('the schema of a tool', () => {
  test('that answers with a promise is not used: one that is rejected would end the process', () => {
    expect(() => compileSchema({ $async: true, type: 'object', required: ['path'] })).toThrow(/asynchronous/);
  });

  test('whose references double with each other stops nobody else for long', () => {
    const last = 60;
    const $defs: Record<string, unknown> = { [`d${last}`]: { type: 'object' } };
    for (let at = 0; at < last; at++) {
      const next = { $ref: `#/$defs/d${at + 1}` };
      $defs[`d${at}`] = { allOf: [next, next] };
    }
    const check = compileSchema({ type: 'object', $ref: '#/$defs/d0', $defs });
    expect(check({})).toMatch(/takes too long/);
    // It is not tried again.
    const started_ms = performance.now();
    expect(check({})).toMatch(/takes too long/);
    expect(performance.now() - started_ms).toBeLessThan(1_000);
  });

  test('that refers to a part of itself is used', () => {
    const check = compileSchema({
      properties: { path: { $ref: '#/$defs/path' } },
      $defs: { path: { type: 'string' } },
    });
    expect(check({ path: 'a' })).toBeUndefined();
    expect(check({ path: 7 })).toMatch(/string/);
  });
});

describe('what a server asks', () => {
  test('is answered where it is too deep to be masked', async () => {
    let replied: (text: string) => void = () => undefined;
    const reply = new Promise<string>((resolve) => (replied = resolve));
    const { hearing } = hearingWith({ reply: async (text) => replied(text) });
    const listener = new Listener(answer().answer, { use, masks: masks(emails), resumes: false });
    await hearing.message(ask(7, '['.repeat(300) + ']'.repeat(300)), listener, undefined);
    expect(JSON.parse(await reply)).toMatchObject({ id: 7, error: { code: -32_003 } });
  });

  test('waits for policy and people 64 times at most', async () => {
    let judged = 0;
    const { hearing, replies } = hearingWith({
      admit: () => {
        judged++;
        return new Promise(() => undefined);
      },
    });
    const listener = new Listener(answer().answer, { use, masks: undefined, resumes: false });
    for (let id = 0; id < 100; id++) await hearing.message(ask(id, '[]'), listener, undefined);
    expect(judged).toBe(64);
    expect(replies).toHaveLength(36);
  });

  test('and does not take the answer to ends its session', async () => {
    let replies = 0;
    const { hearing, gone } = hearingWith({
      reply: () => {
        replies++;
        return new Promise(() => undefined);
      },
    });
    for (let id = 0; id < 5_000; id++)
      await hearing.message(`{"jsonrpc":"2.0","id":${id},"method":"ping"}`, undefined, undefined);
    expect(gone).toHaveLength(1);
    expect(replies).toBe(1_024);
  });
});

describe('what a server tells by itself', () => {
  const tell = (data: string) => JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { data } });
  const hears = (...all: (readonly Mask[])[]) => {
    const { hearing } = hearingWith();
    for (const [number, each] of all.entries()) {
      const call = new Call(requestOf('tools/call', { name: 'lookup' }), { answer: answer().answer, use, number });
      call.masks = masks(...each);
      hearing.expect(call);
    }
    const { told, answer: listening } = answer();
    const listener = new Listener(listening, { use, masks: undefined, resumes: false });
    return { told, message: (data: string) => hearing.message(tell(data), listener, undefined) };
  };

  test('is masked as each call of a tool was, not as its latest', async () => {
    const { told, message } = hears([emails], [cards]);
    await message('ada@example.com has 4111 1111 1111 1111');
    expect(told).toHaveLength(1);
    expect(told[0]).not.toContain('ada@example.com');
    expect(told[0]).not.toContain('4111 1111 1111 1111');
  });

  test('is withheld after a call of which a field was masked, whatever was called since', async () => {
    const { told, message } = hears([field], [emails]);
    await message('the address is at example.com, and before that: ada');
    expect(told).toEqual([]);
  });
});

describe('an answer without end', () => {
  test('of lines without a character is given up as any other', async () => {
    const lines = Buffer.from('data:\n'.repeat(10_000));
    const stream = Readable.from(Array.from({ length: 50 }, () => lines)) as IncomingMessage;
    const read = async () => {
      for await (const { data } of readEvents(stream, 100_000))
        throw new Error(`an event of ${data.length} characters`);
    };
    await expect(read()).rejects.toThrow(/too large/);
  });

  test('of resources is shown to an end, and others get their turn meanwhile', async () => {
    let decided = 0;
    let turns = 0;
    let over = false;
    const decide = () => ({ outcome: ++decided > 0 ? 'allow' : 'deny' });
    const session = { decide } as unknown as Session;
    const resources = Array.from({ length: 20_000 }, (_, index) => ({ uri: `a:${index}` }));
    const parts = {
      upstream,
      session,
      catalogue: new Catalogue(
        upstream,
        async (_tool, digest) => digest,
        async () => ({}),
      ),
      agreed: () => undefined,
    };
    const turn = () => {
      turns++;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    const text = await answerOf('resources/list', JSON.stringify({ resources }), parts);
    over = true;
    expect((JSON.parse(text) as { resources: unknown[] }).resources).toHaveLength(10_000);
    expect(decided).toBe(10_000);
    expect(turns).toBeGreaterThan(0);
  });
});

/** As much of a session of the gateway's as is needed, with this answer to everything. */
function sessionWith(outcome: 'allow' | 'deny') {
  const decision = { id: 'd', revision: 'r', outcome, reasons: [], approvals: [], masks: [], limits: {} };
  const submission = { decision: decision as unknown as Decision, recorded: undefined, settle: () => undefined };
  return { id: 's', submit: () => submission as Submission } as unknown as Session;
}

const beginning = requestOf('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: {} });
const gone = new AbortController().signal;
const sessionAt = (target: McpTarget) =>
  new McpSession({
    ...{ target, name: 'one', log, maskKey: () => '00', ended: () => undefined },
    firstSeen: async (_tool, digest) => digest,
  });

describe('a call that is taken back', () => {
  test('keeps no connection to the server, which all share', async () => {
    let begun: () => void = () => undefined;
    let closed: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (begun = resolve));
    const left = new Promise<void>((resolve) => (closed = resolve));
    const http = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        if (!body.includes('initialize')) return response.writeHead(202).end();
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
        response.once('close', closed);
        return begun();
      });
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', () => resolve()));
    const { port } = http.address() as AddressInfo;
    const target = new McpTarget(readMcpUpstream({ url: `http://127.0.0.1:${port}/mcp` }), async () => undefined);
    const session = sessionAt(target);
    let end: Parameters<Use['enter']>[0] = () => undefined;
    const enter: Use['enter'] = (ended) => {
      end = ended;
      return () => undefined;
    };
    const from = { use: { session: sessionWith('allow'), enter }, prompt: undefined, gone };
    const result = session.request(beginning, answer().answer, from);
    result.catch(() => undefined);
    await asked;
    end({ code: 'token_expired', message: 'over' });
    await expect(result).rejects.toThrow();
    await left;
    session.close('over');
    target.close();
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });
});

describe('a program', () => {
  test('is not started for somebody who may not begin', async () => {
    let started = 0;
    const connect = () => {
      started++;
      throw new Error('it was started');
    };
    const { told, answer: answered } = answer();
    const denied = { session: sessionWith('deny'), enter: () => () => undefined };
    const session = sessionAt({ upstream, connect } as unknown as McpTarget);
    expect(await session.request(beginning, answered, { use: denied, prompt: undefined, gone })).toBe(false);
    expect(told[0]).toContain('denied by policy');
    expect(started).toBe(0);
    session.close('over');
  });
});
