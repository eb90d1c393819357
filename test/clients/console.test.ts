import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { clientTest, libpq, onPath, runProgram, type Outcome } from './support.js';
import { eventLine, headerLine } from '../../gateway/recordings/cast.js';
import { publishable } from '../../gateway/replay/index.js';
import { emptyTally } from '../../gateway/replay/tally.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startOidcProvider, type OidcProvider } from '../support/oidc.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** The console in a real Chromium, before a real gateway, while a real psql waits. */

const group = 'the console, in Chromium,';

const policy = {
  'postgres.rego': `package policy.postgres

# METADATA
# title: Everything is allowed in this test
allow contains {"code": "everything"} if input.version == 1

# METADATA
# title: Deletes wait for a DBA
approval contains {"code": "deletes_wait", "groups": ["dba"], "reason": "rows go away", "grant": {"same": "fingerprint", "session": false, "uses": 3, "for": "1h"}} if {
	some resource in input.operation.resources
	resource.access == "delete"
}
`,
};

/** What would run if anything of it became markup; each sets the canary. */
const markup = [
  '<img src=x onerror="globalThis.canary=1">',
  '<script>globalThis.canary=1</script>',
  '<svg onload="globalThis.canary=1">',
  '<a href="javascript:globalThis.canary=1">x</a>',
].join(' ');
const deletion = (condition: string) => `delete from app.kept /* ${markup} \u202e */ where ${condition}`;

/** A terminal of a second and a half, with a title and a link that lead nowhere. */
function recorded(): string {
  const header = headerLine({
    ...{ version: 2, width: 120, height: 10, timestamp: 1_790_000_000, title: 'x', command: 'top <b>' },
    sallyport: {
      ...{ id: 'r-shown-1', decision: 'd-shown-1', session: 's-1', target: 'build', protocol: 'ssh' },
      ...{ principal: { issuer: 'https://idp.example', subject: 'agent:x' }, request: 'exec' },
      ...{ terminal: true, masked: false },
    },
  });
  const link = '\u001b]8;;javascript:globalThis.canary=1\u001b\\';
  return [
    header,
    eventLine(0.1, 'o', '\u001b]0;another title\u0007\u001b[1;31mfirst words\u001b[0m\r\n'),
    eventLine(0.8, 'o', `\u001b[?25l${link}${markup}\r\n`),
    eventLine(1.5, 'o', '\u001b[5;3Hlast words'),
    eventLine(1.5, 'x', '0'),
  ].join('');
}

describe(group, () => {
  let database: TestDatabase;
  let provider: OidcProvider;
  let gateway: TestGateway;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let url: string;
  const complaints: string[] = [];

  beforeAll(async () => {
    const executablePath = onPath('chromium');
    if (executablePath === undefined) return;
    database = await createDatabase({
      sql: 'create schema app; create table app.kept (n int); insert into app.kept select generate_series(1, 9)',
    });
    provider = await startOidcProvider();
    provider.asks = true;
    provider.person = { subject: 'ada@example.com', groups: ['dba', 'security'] };
    gateway = await startTestGateway({
      database,
      policy,
      idp: provider.idp,
      config: {
        listen: { postgres: '127.0.0.1:0', https: '127.0.0.1:0' },
        recordings: { folder: './recordings' },
        console: {
          administrators: ['security'],
          publishers: ['security'],
          sign_in: { client_id: provider.clientId, client_secret: provider.clientSecret },
        },
      },
    });
    const { host, port } = gateway.gateway.listeners.find(({ protocol }) => protocol === 'https')!.address;
    url = `https://${host}:${String(port)}`;
    provider.redirect = `${url}/console/callback`;
    browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });
    context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1200, height: 900 } });
    page = await context.newPage();
    page.setDefaultTimeout(60_000);
    // A refused script, a broken policy of the page, an exception: each is a complaint.
    page.on('console', (message) => {
      const from = message.location().url;
      // Before somebody is signed in, the page is told so: with 401, of which browsers complain.
      if (message.type() !== 'error' || !from.startsWith(url) || from.endsWith('/v1/whoami')) return;
      complaints.push(`${message.text()} (${from})`);
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await gateway?.close();
    await provider?.close();
    await database?.drop();
  });

  const psql = async (statement: string): Promise<Outcome> => {
    const place = await gateway.connection({
      subject: 'agent:billing-bot',
      purpose: 'month-end report',
      prompt: `Tidy up old rows. ${markup}`,
    });
    return runProgram('psql', ['-X', '-At', '-c', statement], { env: libpq(place) });
  };
  const heading = (text: string | RegExp) => page.getByRole('heading', { level: 1, name: text }).waitFor();

  /** For people who look at what the page looks like: SALLYPORT_TEST_PICTURES names a folder. */
  async function picture(name: string): Promise<void> {
    const folder = process.env['SALLYPORT_TEST_PICTURES'];
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `${name}.png`) });
  }

  clientTest(group, 'approves a DELETE that psql waits with, by the keyboard', async () => {
    await page.goto(`${url}/console/`);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.locator('#yes').click();
    await heading('Nothing waits for you');

    // It comes by itself, without a reload.
    const answered = psql(deletion('n <= 2'));
    await heading('Waiting for you (1)');
    expect(await page.title()).toContain('(1)');
    await picture('waiting');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await heading(/^Request h-/);
    const observed = page.getByRole('region', { name: 'Observed by the gateway' });
    expect(await observed.locator('.statement').innerText()).toBe(deletion('n <= 2').replace('\u202e', '\\u202e'));
    expect(await observed.locator('.sql-strong').first().innerText()).toBe('delete');
    const claimed = page.getByRole('region', { name: 'Claimed by the agent' });
    expect(await claimed.innerText()).toContain(`Tidy up old rows. ${markup}`);
    await picture('request');

    await page.keyboard.press('a');
    const dialog = page.getByRole('dialog', { name: 'Approve this?' });
    await dialog.waitFor();
    expect(await dialog.innerText()).toContain('agent:billing-bot');
    await picture('approve');
    // What was asked is answered by nobody who thinks better of it.
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    expect((await gateway.gateway.approvers.list({ status: 'waiting' })).length).toBe(1);
    await page.keyboard.press('a');
    await page.keyboard.type('checked with billing');
    await page.keyboard.press('Enter');
    await page.getByText('approved', { exact: true }).first().waitFor();

    expect(await answered).toMatchObject({ code: 0, stdout: 'DELETE 2\n' });
    expect((await database.sql('select count(*)::int as n from app.kept'))[0]).toEqual({ n: 7 });
    const answer = (await gateway.records()).find(({ kind }) => kind === 'answer');
    expect(answer).toMatchObject({ through: 'console' });
    expect(await page.evaluate('globalThis.canary')).toBeUndefined();
    expect(complaints).toEqual([]);
  });

  clientTest(group, 'refuses one with a reason, which psql is told, at the width of a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.goto(`${url}/console/`);
    const answered = psql(deletion('n = 3'));
    await heading('Waiting for you (1)');
    await page.locator('a.card').click();
    await heading(/^Request h-/);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    await picture('phone-dark');
    await page.getByRole('button', { name: 'Refuse' }).click();
    const dialog = page.getByRole('dialog', { name: 'Refuse this?' });
    // Not without a reason.
    await dialog.getByRole('button', { name: 'Refuse' }).click();
    expect(await dialog.isVisible()).toBe(true);
    await dialog.getByLabel('Why not').fill('not tonight');
    await dialog.getByRole('button', { name: 'Refuse' }).click();
    const { code, stderr } = await answered;
    expect(code).toBe(1);
    expect(stderr).toContain('not tonight');
    expect(complaints).toEqual([]);
  });

  clientTest(group, 'widens an approval as policy lets it, and takes the grant back', async () => {
    await page.setViewportSize({ width: 1200, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(`${url}/console/#/`);
    await heading('Nothing waits for you');
    const answered = psql(deletion('n = 4'));
    await heading('Waiting for you (1)');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await heading(/^Request h-/);
    await page.keyboard.press('a');
    const dialog = page.getByRole('dialog', { name: 'Approve this?' });
    await dialog.getByRole('checkbox', { name: 'the same statement, with any values' }).check();
    await picture('widen');
    await dialog.getByRole('button', { name: 'Approve' }).click();
    expect(await answered).toMatchObject({ code: 0, stdout: 'DELETE 1\n' });
    // Nobody is asked for another value.
    expect(await psql(deletion('n = 5'))).toMatchObject({ code: 0, stdout: 'DELETE 1\n' });

    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await heading('Grants (1)');
    const row = page.locator('tbody tr').first();
    expect(await row.innerText()).toMatch(/agent:billing-bot.*the same statement, with any values.*1 of 3/su);
    await picture('grants');
    await row.getByRole('button', { name: 'Take back the grant of agent:billing-bot' }).click();
    const sure = page.getByRole('dialog', { name: 'Take this grant back?' });
    await sure.getByRole('button', { name: 'Take it back' }).click();
    await heading('No grants');
    expect(complaints).toEqual([]);
  });

  clientTest(group, 'has pages that everybody can read, in dark and in light', async () => {
    for (const [name, title] of [
      ['', /wait/],
      ['grants', /rants/],
      ['sessions', /essions/],
      ['timeline', 'Timeline'],
      ['recordings', 'Recordings'],
      ['counts', 'The last 24 hours'],
      ['policy', 'Policy'],
    ] as const) {
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.setViewportSize({ width: colorScheme === 'light' ? 1200 : 360, height: 800 });
        await page.emulateMedia({ colorScheme });
        await page.goto('about:blank');
        await page.goto(`${url}/console/#/${name}`);
        await heading(title);
        await picture(`${name || 'waiting'}-${colorScheme}`);
        expect({ name, colorScheme, faults: await page.evaluate(faults) }).toEqual({ name, colorScheme, faults: [] });
      }
    }
    expect(await page.evaluate('globalThis.canary')).toBeUndefined();
    expect(complaints).toEqual([]);
  });

  clientTest(group, 'shows a replay that was published, whatever stands in it, in dark and in light', async () => {
    await page.goto(`${url}/console/#/`);
    await heading(/wait/);
    const change = { rule: `policy.postgres ${markup}`, on: 'app.customers.email', principal: 'system:serviceaccount:production:an-account-with-a-long-name', target: 'orders', count: 1_234, example: 'd-4f1c09a2b7de-17' }; // prettier-ignore
    const report = {
      ...{ from: 'origin/main', to: 'feature/a-rather-long-name-of-a-branch', loosened: true, meant: [], unseen: ['session.started'], duration_ms: 1 }, // prettier-ignore
      tally: { ...emptyTally, operations: 5_000, changed: 2_468, unmeasured: 4, groups: [{ ...change, kind: 'mask_lost' }, { ...change, kind: 'hold_added' }] }, // prettier-ignore
    } as const;
    const body = publishable(report, { before: `git:${'1'.repeat(40)}`, after: `git:${'2'.repeat(40)}` });
    const headers = { 'content-type': 'application/json', 'sallyport-console': '1' };
    const sent = await page.evaluate(
      async ([text, fields]) => (await fetch('v1/replays', { method: 'POST', headers: fields, body: text })).status,
      [JSON.stringify(body), headers] as const,
    );
    expect(sent).toBe(201);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width: colorScheme === 'light' ? 1200 : 360, height: 800 });
      await page.emulateMedia({ colorScheme });
      await page.goto('about:blank');
      await page.goto(`${url}/console/#/replays`);
      await heading('Replays (1)');
      await picture(`replays-${colorScheme}`);
      expect(await page.evaluate(faults)).toEqual([]);
      await page.locator('tbody a').click();
      await heading(/^Replay of origin\/main/);
      await picture(`replay-${colorScheme}`);
      expect(await page.evaluate(faults)).toEqual([]);
    }
    expect(await page.locator('.warning').innerText()).toMatch(/no commit says that this is meant/);
    expect(await page.locator('ul.note').innerText()).toMatch(/4 operations cannot be decided for certain/);
    expect(await page.locator('.badge.loosens').allInnerTexts()).toEqual(['! mask lost']);
    // Nothing that belongs together stands on two lines.
    const lines = "[...document.querySelectorAll('.badge, .whole')].map((one) => one.getClientRects().length)";
    expect(new Set(await page.evaluate<number[]>(lines))).toEqual(new Set([1]));
    expect(await page.evaluate('globalThis.canary')).toBeUndefined();
    expect(complaints).toEqual([]);
  });

  clientTest(group, 'finds what an agent did, and explains it rule by rule', async () => {
    await page.setViewportSize({ width: 1200, height: 900 });
    await page.goto(`${url}/console/#/`);
    await heading(/wait/);
    await page.keyboard.press('/');
    await heading('Timeline');
    await page.keyboard.type('Tidy up');
    await page.getByLabel('Table').fill('kept');
    await page.getByLabel('Decision').selectOption('allow');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.locator('tbody tr:first-child .badge.allow').waitFor();
    await page
      .getByRole('link', { name: /delete from app\.kept/ })
      .first()
      .click();
    await heading(/^Decision d-/);
    expect(await page.locator('.rules').innerText()).toMatch(
      /Deletes wait for a DBA|Everything is allowed in this test/,
    );
    expect(await page.locator('.rules a').first().innerText()).toMatch(/postgres\.rego:\d+/);
    await picture('decision');
    expect(await page.evaluate('globalThis.canary')).toBeUndefined();
  });

  clientTest(group, 'plays a recording of a terminal, and obeys nothing of it', async () => {
    await writeFile(join(gateway.folder, 'recordings', 'r-shown-1.cast'), recorded());
    await page.setViewportSize({ width: 1200, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(`${url}/console/#/`);
    await heading(/wait/);
    await page.keyboard.press('g');
    await page.keyboard.press('v');
    await heading('Recordings');
    await page.getByLabel('Words on the screen').fill('LAST words');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.locator('tbody').getByText('last words').waitFor();
    await page.getByRole('link', { name: 'top <b>' }).click();
    await heading('Recording r-shown-1');
    const screen = page.getByRole('region', { name: 'Screen', exact: true });

    // A step shows what came first, and no more.
    await page.keyboard.press('.');
    await screen.getByText('first words', { exact: true }).waitFor();
    expect(await screen.innerText()).not.toContain('last words');
    expect(await screen.locator('.f-1.bold').innerText()).toBe('first words');
    // From there it plays to its end, and goes back.
    await page.keyboard.press('Space');
    await screen.getByText('last words').waitFor();
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    const [image] = markup.split(' <script');
    expect(await screen.innerText()).toContain(image);
    await picture('player');
    await page.getByLabel('Position').focus();
    await page.keyboard.press('ArrowLeft');
    await screen.getByText('last words').waitFor({ state: 'detached' });

    expect(await screen.locator('a, img, script, svg').count()).toBe(0);
    expect(await page.title()).toBe('Recording r-shown-1 · Sallyport');
    await page.setViewportSize({ width: 360, height: 740 });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.keyboard.press('.');
    await screen.getByText('first words', { exact: true }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    await picture('player-phone-dark');
    const played = (await gateway.records()).filter(({ act }) => act === 'recording_play');
    expect(played).toMatchObject([{ kind: 'administrator', through: 'console', recording: 'r-shown-1' }]);
    expect(await page.evaluate('globalThis.canary')).toBeUndefined();
    expect(complaints).toEqual([]);
  });

  clientTest(group, 'leaves nothing behind when one signs out', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    expect((await context.cookies()).filter(({ name }) => name.startsWith('__Host-sallyport'))).toEqual([]);
    expect(await page.evaluate("fetch('v1/whoami').then(({ status }) => status)")).toBe(401);
  });
});

/**
 * What keeps somebody from using the page, found inside it: things without a name, a page without one heading that has the
 * focus, text that stands out too little (WCAG 2.2, 1.4.3: 4.5 to 1), and what does not fit the width.
 */
const faults = `(() => {
  const found = [];
  for (const one of document.querySelectorAll('a, button, input, select, [role=region], [role=img]')) {
    const name = one.getAttribute('aria-label') ?? (one.labels?.[0]?.textContent || one.textContent);
    if (!name?.trim()) found.push('no name: ' + one.outerHTML.slice(0, 100));
  }
  const headings = [...document.querySelectorAll('h1')];
  if (headings.length !== 1) found.push(headings.length + ' main headings');
  if (document.activeElement !== headings[0]) found.push('the focus is not on the heading');
  if (document.documentElement.scrollWidth > innerWidth) found.push('wider than the window');
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const light = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) =>
      value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (backgroundColor !== 'rgba(0, 0, 0, 0)') return backgroundColor;
    }
    return 'white';
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || one.closest('.unseen, .skip, noscript, svg') || !one.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push('too faint: ' + texts.currentNode.data.slice(0, 40));
  }
  return [...new Set(found)];
})()`;
