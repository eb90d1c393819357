import { expect, test } from '@jest/globals';
import type { Services, Target } from '../../../protocol.js';
import { readNamed } from './hosts.js';
import { routeTo } from './routes.js';

const input = (name: string): Target['input'] => ({ name, protocol: 'http', labels: {} });
const upstreamOf = (...hosts: string[]) => ({ egress: { hosts: hosts.map((host) => readNamed(host)!), networks: {} } });
const target = (name: string, ...hosts: string[]): Target => ({ input: input(name), upstream: upstreamOf(...hosts) });
const services = (...targets: Target[]) => ({ targets: () => targets }) as unknown as Services;
const place = { host: 'api.example', port: 443 };

test('the closest name counts', () => {
  const all = services(target('all', '*'), target('below', '*.example'), target('one', 'api.example'));
  expect(routeTo(place, all)?.target.input.name).toBe('one');
  expect(routeTo({ ...place, host: 'b.example' }, all)?.target.input.name).toBe('below');
  expect(routeTo({ ...place, host: 'b.test' }, all)?.target.input.name).toBe('all');
  expect(routeTo({ ...place, port: 8443 }, all)).toBeUndefined();
});

/** One whose credential comes and goes: where it is gone, so is its upstream. */
class Renewing implements Target {
  readonly input = input('api');
  upstream: unknown;
}

test('a target whose credential is gone keeps its hosts: they are not let to by the rules of another', () => {
  const one = new Renewing();
  const both = services(target('all', '*'), one);
  one.upstream = upstreamOf('api.example');
  expect(routeTo(place, both)?.target).toBe(one);
  one.upstream = undefined;
  expect(routeTo(place, both)?.target).toBe(one);
  expect(routeTo({ ...place, host: 'other.example' }, both)?.target.input.name).toBe('all');
});

test('while a target was never ready, nobody knows what it names, and only whole names are let to', () => {
  const both = services(target('all', '*', 'whole.example'), new Renewing());
  expect(() => routeTo(place, both)).toThrow(/"api" is not available/);
  expect(routeTo({ ...place, host: 'whole.example' }, both)?.target.input.name).toBe('all');
});
