import { describe, expect, test } from '@jest/globals';
import { printable } from '../../gateway/config/printable.js';
import { load, parts, problems } from './support.js';

const file = (status: string) => `${parts.listen}${parts.identity}policy:\n  directory: .\n  status: ${status}\n${parts.targets}`; // prettier-ignore

describe('policy.status', () => {
  test('has its defaults, and its token is shown to nobody', async () => {
    const config = await load(file('{url: https://control.example/opa/, token: abc}'));
    expect(config.policy.status).toEqual({ url: 'https://control.example/opa', token: 'abc', gzip: false, interval_ms: 60_000, labels: {} }); // prettier-ignore
    expect(JSON.stringify(printable(config))).not.toContain('abc');
  });

  test.each([
    ['in clear to another machine', '{url: http://control.example}', /https/],
    ['with a password in its URL', '{url: https://a:b@control.example}', /without a password/],
    ['with a query', '{url: "https://control.example?x=1"}', /no URL of a service/],
    ['that leaves its place', '{url: https://control.example, partition: ../admin}', /no path/],
    ['that leaves it inside', '{url: https://control.example, partition: a/../../admin}', /no path/],
    ['with a token that ends the header', '{url: https://control.example, token: "a\\r\\nx: y"}', /no header can hold/],
    ["with the gateway's own label", '{url: https://control.example, labels: {id: mine}}', /gateway's own/],
    ['with a token file that is not there', '{url: https://control.example, token: {file: ./none}}', /none/],
  ])('is refused %s', async (_what, status, said) => {
    expect((await problems(file(status))).join('\n')).toMatch(said);
  });
});
