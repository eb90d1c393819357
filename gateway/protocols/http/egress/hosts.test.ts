import { describe, expect, test } from '@jest/globals';
import { closeness, readAuthority, readNamed, writePlace } from './hosts.js';

describe('a place', () => {
  test.each([
    ['API.Example:443', 'api.example:443'],
    ['xn--bcher-kva.example:8443', 'xn--bcher-kva.example:8443'],
    ['10.1.2.3:443', '10.1.2.3:443'],
    ['[2001:DB8:0::1]:443', '[2001:db8::1]:443'],
  ])('%s is %s', (text, written) => {
    const place = readAuthority(text);
    expect(place && writePlace(place)).toBe(written);
  });

  test.each([
    ...['api.example', 'api.example:', 'api.example:0', 'api.example:65536', 'api.example:0443', ':443'],
    ...[
      'api.example.:443',
      'api..example:443',
      '-api.example:443',
      'api/x:443',
      'a@api.example:443',
      'api.example:443#',
    ],
    ...['2130706433:443', '0x7f000001:443', '0177.0.0.1:443', '127.1:443', '127.0.0.01:443', 'a.0x7f:443'],
    ...['::1:443', '[::1%lo]:443', '[::1', '[1.2.3.4]:443', 'bücher.example:443', `${'a.'.repeat(127)}toolong:443`],
  ])('%s is none', (text) => {
    expect(readAuthority(text)).toBeUndefined();
  });
});

describe('a name of the configuration', () => {
  const close = (named: string, asked: string) => closeness(readNamed(named)!, readAuthority(asked)!);

  test('is one place, all below a name, or every name, at one port', () => {
    expect(close('api.example', 'api.example:443')).toBe(Infinity);
    expect(close('*.example', 'api.example:443')).toBe(7);
    expect(close('*.example', 'a.b.example:443')).toBe(7);
    expect(close('*', 'api.example:443')).toBe(0);
    expect(close('*:8443', 'api.example:8443')).toBe(0);
    expect(close('[::1]:8443', '[0:0::1]:8443')).toBe(Infinity);
  });

  test.each([
    ['api.example', 'api.example:8443'],
    ['api.example', 'www.api.example:443'],
    ['*.example', 'example:443'],
    ['*.example', 'notexample:443'],
    ['*.api.example', 'evilapi.example:443'],
    ['*', '10.0.0.1:443'],
    ['*', '[::1]:443'],
    ['*', 'api.example:80'],
  ])('%s does not name %s', (named, asked) => {
    expect(close(named, asked)).toBeUndefined();
  });

  test.each(['', '*.', '**', '*.*', 'a.*.example', '*.10.0.0.1', 'https://api.example', 'api.example/x', '*:'])(
    '"%s" is none',
    (text) => {
      expect(readNamed(text)).toBeUndefined();
    },
  );
});
