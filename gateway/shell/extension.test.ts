import { describe, expect, test } from '@jest/globals';
import { programFaults, programsOf, understandLine } from './index.js';

const told = (value: unknown) => programFaults(value).map(({ path, message }) => `${path.join('.')}: ${message}`);

/** What a line does under the data of a policy's layers. */
const under = (line: string, ...documents: readonly unknown[]) => {
  const { action, because, resources } = understandLine(line, {
    ...{ terminal: false, folder: '~' },
    programs: programsOf(documents),
  });
  const files = resources.filter(({ type }) => type === 'file').map(({ name, access }) => `${access} ${name}`);
  return { action, because, files };
};

describe('data.programs, when the policy is built', () => {
  test('adds programs', () => {
    expect(
      told({
        'shelf-status': { can: ['read'], words: 'files', options: ['--short'] },
        'shelf-sync': { can: ['read', 'write', 'network'] },
        hello: { can: [], words: 'text', otherwise: 'is asked for more than a greeting' },
      }),
    ).toEqual([]);
  });

  test.each<readonly [unknown, string]>([
    [[], ': must map names of programs to what they do'],
    [{ 'a/b': { can: [] } }, 'a/b: is no name of a program'],
    [{ mine: { words: 'files' } }, 'mine: must have required properties can'],
    [{ mine: { can: [], words: 'files' } }, 'mine.can: lacks read, though its words are files'],
    [{ mine: { can: ['run'], words: 'program' } }, 'mine.words: must be one of files, names, paths, text'],
    [{ mine: { can: [], refuses: ['x'] } }, 'mine.refuses: is no field of a program of your own'],
    [{ mine: { can: ['fly'] } }, 'mine.can.0: must be one of read, write, run, network, privilege'],
    [{ cat: { can: ['write'] } }, 'cat.can: would loosen cat, which is built in: it can read as well'],
    [{ sh: { can: ['read'], words: 'files' } }, 'sh.words: would loosen sh, which is built in: its words are read as they are'], // prettier-ignore
    [{ sh: { can: ['read', 'write'] } }, 'sh.can: would loosen sh, which is built in: it can run, network as well'],
    [{ sh: { refuses: [] } }, 'sh.refuses: is no field of sh, which is built in'],
  ])('refuses %j', (value, message) => {
    expect(told(value)).toEqual([message]);
  });
});

describe('data.programs, in force', () => {
  const shelf = { 'shelf-status': { can: ['read'], words: 'files', options: ['--short'] } };

  test('makes a program known, with the options that it names', () => {
    expect(under('shelf-status --short /srv/a', shelf)).toEqual({
      action: 'read',
      because: [],
      files: ['read /srv/a'],
    });
    expect(under('nice shelf-status /srv/a', shelf).because).toEqual([]);
    expect(under('shelf-status --long', shelf).because).toEqual([
      'what shelf-status --long does is not known to the policy',
    ]);
    expect(under('/opt/shelf-status', shelf).because).toHaveLength(1);
    expect(under('shelf-status', undefined).because).toEqual(['what shelf-status does is not known']);
  });

  test('tightens what is built in, and nothing else of it', () => {
    expect(under('cat /x', { cat: { otherwise: 'is not used here' } }).because).toEqual(['cat is not used here']);
    expect(under('ls -l', { ls: { options: ['-l'] } }).because).toEqual([]);
    expect(under('ls -R', { ls: { options: ['-l'] } }).because).toHaveLength(1);
    expect(under('sort -o /x', { sort: { options: ['-o'] } }).because).toEqual(['sort -o does more than read']);
    expect(under('sudo -n ls -R', { ls: { options: ['-l'] } }).because).toHaveLength(1);
    expect(under('tail /x', { cat: {} }).because).toEqual([]);
  });

  test('of a later layer tightens the first, and adds nothing', () => {
    const cat = { cat: { options: ['-n'] } };
    expect(under('shelf-status', undefined, shelf).because).toEqual(['what shelf-status does is not known']);
    expect(under('shelf-status', shelf, cat).because).toEqual([]);
    expect(under('cat -v /x', shelf, cat).because).toHaveLength(1);
    const wider = { 'shelf-status': { can: ['read'], words: 'text', options: ['--short', '--long'] } };
    expect(under('shelf-status --long', shelf, wider).because).toHaveLength(1);
    expect(under('shelf-status --short /x', shelf, wider).files).toEqual(['read /x']);
    expect(under('shelf-status --short', shelf, { 'shelf-status': { can: ['network'] } }).because).toHaveLength(1);
  });

  // What an older build let through may be wrong for this one.
  test.each([
    { sh: { can: [], words: 'text' } },
    { sh: 1 },
    { cat: 'free' },
    { mine: { can: ['read'], words: 'all' } },
  ])('is never looser than what is built in: %j', (document) => {
    const [name = ''] = Object.keys(document);
    expect(under(`${name} /x`, document).because).toHaveLength(1);
  });

  test('is one table for as long as the documents are the same', () => {
    const documents = [shelf];
    expect(programsOf(documents)).toBe(programsOf(documents));
    expect(programsOf([undefined, undefined])).toBe(programsOf([]));
  });
});
