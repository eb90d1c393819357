import { expect, test } from '@jest/globals';
import { readEgress } from './config.js';

const url = { host: 'api.example', port: 443, below: false };

test('what is looked into is the API at a url, and goes wherever that leads', () => {
  expect(readEgress({ intercept: true }, url)).toMatchObject({ hosts: [url], intercept: true });
  expect(readEgress({}, url)).toMatchObject({ intercept: false });
  expect(() => readEgress({ intercept: true, addresses: ['10.0.0.0/8'] }, url)).toThrow('egress.addresses has no use');
  expect(() => readEgress({ intercept: true, hosts: ['api.example'] }, undefined)).toThrow('egress.intercept');
});
