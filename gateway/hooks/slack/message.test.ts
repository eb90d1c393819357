import { expect, test } from '@jest/globals';
import { waitingRequest } from '../../../test/support/approvers.js';
import { toldOf } from '../told.js';
import { outcomeMessage, requestMessage } from './message.js';

const told = (statement: string, prompt = 'Tidy up.', recorded?: unknown) => {
  const request = waitingRequest({ statement, prompt: { text: prompt } });
  return toldOf(request, recorded ?? request.operation?.['postgres'], 'https://gateway.example/console/approvals/h-1');
};

/** Every object in which Slack would read markup, and every other text. */
function texts(value: unknown, found = { marked: [] as string[], plain: [] as string[] }) {
  if (typeof value !== 'object' || value === null) return found;
  const { type, text } = value as { type?: unknown; text?: unknown };
  if (typeof text === 'string') (type === 'text' || type === 'plain_text' ? found.plain : found.marked).push(text);
  for (const item of Object.values(value)) texts(item, found);
  return found;
}

const nasty = 'delete from t -- <!channel> <@U0123ABCD> <https://evil.example|look> ``` *bold* `code` &lt;';

test('what others wrote stands only where Slack shows text as it is', () => {
  for (const message of [requestMessage(told(nasty, `${nasty} prompt`), true), outcomeMessage(told(nasty, nasty))]) {
    const { marked, plain } = texts(message);
    expect(marked).toEqual([message.text]);
    for (const text of marked) expect(text).not.toMatch(/[<>`*]|evil/u);
    expect(plain.join('\n')).toContain('<!channel> <@U0123ABCD> <https://evil.example|look> ```');
    expect(JSON.stringify(message)).not.toContain('mrkdwn');
  }
});

test('a name that would be markup is escaped in what notifications show', () => {
  const request = { ...waitingRequest(), target: { name: '<!here>&', protocol: 'postgres', labels: {} } };
  expect(requestMessage(toldOf(request, {}, undefined), true).text).toContain('postgres/&lt;!here&gt;&amp;');
});

test('what a reader cannot see, or reads in another order, is written out', () => {
  const { plain } = texts(requestMessage(told('delete \u202e from\u0000 t\u200b; \u2028'), true));
  expect(plain.join('\n')).toContain('delete \\u{202e} from\\u{0} t\\u{200b}; \\u{2028}');
});

test('what is not shown whole cannot be approved there, only refused', () => {
  const short = JSON.stringify(requestMessage(told('delete from t'), true));
  expect([short.includes('sallyport_approve'), short.includes('sallyport_refuse')]).toEqual([true, true]);
  const cases = [
    told(`delete from t where x = '${'x'.repeat(3_000)}'`),
    told("delete from t where x = 'clear'", 'p', { statement: "delete from t where x = 'withheld:1'" }),
    toldOf(waitingRequest(), undefined, undefined),
  ];
  for (const one of cases) {
    const message = JSON.stringify(requestMessage(one, true));
    expect([message.includes('sallyport_approve'), message.includes('sallyport_refuse')]).toEqual([false, true]);
    expect(message).toContain('Not shown whole');
  }
});

test('blocks stay within what Slack takes', () => {
  const message = requestMessage(told('x'.repeat(60_000), 'y'.repeat(32_768)), true);
  for (const block of message.blocks) expect(texts(block).plain.join('').length).toBeLessThanOrEqual(3_000);
});
