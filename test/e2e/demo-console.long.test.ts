import { expect, test } from '@jest/globals';
import { Agent, request } from 'node:https';
import { runDemo } from '../../examples/demo/demo.js';

/** The demo as a person sees it: it waits at the delete, and goes on when somebody has signed in to the console and answered. */

/** A browser, as far as this needs one: cookies by host, redirects followed. */
class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();
  /** The gateway's certificate is its own. */
  readonly #agent = new Agent({ rejectUnauthorized: false, keepAlive: false });

  async send(url: URL, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) {
    const jar = this.#cookies.get(url.host) ?? new Map<string, string>();
    this.#cookies.set(url.host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...options.headers, ...(cookie === '' ? {} : { cookie }) };
    const answer = await (url.protocol === 'https:'
      ? this.#secure(url, { ...options, headers })
      : plain(url, { ...options, headers }));
    for (const one of answer.cookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/u.exec(one) ?? [];
      if (value === '' || /expires=Thu, 01 Jan 1970/iu.test(one)) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  }

  /** Follows redirects to the page at their end. */
  async open(start: URL, options: { method?: string; headers?: Record<string, string>; body?: string } = {}) {
    let url = start;
    let answer = await this.send(url, options);
    for (let turn = 0; turn < 10 && answer.location !== undefined; turn++) {
      url = new URL(answer.location, url);
      answer = await this.send(url);
    }
    return { url, ...answer };
  }

  #secure(
    url: URL,
    { method = 'GET', headers, body }: { method?: string; headers: Record<string, string>; body?: string },
  ) {
    return new Promise<Answer>((resolve, reject) => {
      const sent = request(url, { method, headers, agent: this.#agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            location: response.headers.location,
            cookies: response.headers['set-cookie'] ?? [],
            text,
          }),
        );
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly cookies: readonly string[];
  readonly text: string;
}

async function plain(url: URL, options: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...options, redirect: 'manual' });
  return {
    status: response.status,
    location: response.headers.get('location') ?? undefined,
    cookies: response.headers.getSetCookie(),
    text: await response.text(),
  };
}

test('waits at the delete until a person who has signed in to the console answers it', async () => {
  const events: Record<string, unknown>[] = [];
  let waits: (event: Record<string, unknown>) => void = () => undefined;
  let stays: () => void = () => undefined;
  const waiting = new Promise<Record<string, unknown>>((resolve) => (waits = resolve));
  const staying = new Promise<void>((resolve) => (stays = resolve));
  let rest = '';
  const write = (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as Record<string, unknown>;
      events.push(event);
      if (String(event['what']).startsWith('It waits for you')) waits(event);
      if (String(event['what']).startsWith('The console, for')) stays();
    }
  };
  const over = runDemo({ once: false, json: true, output: { write } });
  const { what, command } = await Promise.race([
    waiting,
    over.then((code) => {
      throw new Error(`the demo ended with ${String(code)}: ${JSON.stringify(events.slice(-2))}`);
    }),
  ]);
  const [, name = '', password = ''] = /as (\S+) with the password (\S+),/u.exec(String(what)) ?? [];
  const place = new URL(String(command));
  const id = place.hash.split('/').at(-1) ?? '';

  const browser = new Browser();
  const page = await browser.open(new URL('/console/sign-in', place));
  expect(page.text).toContain('<form method="post">');
  const wrong = { name, password: 'not this one' };
  const form = (fields: Record<string, string>) => ({
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields).toString(),
  });
  expect((await browser.open(page.url, form(wrong))).status).toBe(403);
  const inside = await browser.open(page.url, form({ name, password }));
  expect(inside.url.pathname).toBe('/console/');
  const own = {
    'sec-fetch-site': 'same-origin',
    origin: place.origin,
    'sallyport-console': '1',
    'content-type': 'application/json',
  };
  const who = await browser.send(new URL('/console/v1/whoami', place), { headers: own });
  expect(JSON.parse(who.text)).toMatchObject({ subject: name, groups: ['shop-owners'] });
  const body = JSON.stringify({ comment: 'they were never paid' });
  const answered = await browser.send(new URL(`/console/v1/approvals/${id}/approve`, place), {
    method: 'POST',
    headers: own,
    body,
  });
  expect(answered.status).toBe(200);

  await Promise.race([staying, over]);
  process.emit('SIGINT');
  expect(await over).toBe(0);
  expect(events.filter(({ event }) => event === 'failed')).toEqual([]);
  expect(events.filter(({ event }) => event === 'passed').map(({ text }) => String(text))).toContainEqual(
    expect.stringMatching(/approved, committed; the client got its "DELETE \d+"$/u),
  );
}, 300_000);
