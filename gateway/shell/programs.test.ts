import { describe, expect, test } from '@jest/globals';
import { understandLine } from './index.js';
import { builtIn, ProgramsError, readPrograms } from './table.js';

const host = { terminal: false, folder: '~' } as const;

/** What is wrong with a table of these lines, as it is told. */
function faults(...lines: readonly string[]): readonly string[] {
  try {
    readPrograms(['programs:', ...lines.map((line) => `  ${line}`)].join('\n'), 'programs.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof ProgramsError)) throw error;
    return error.message.split('\n');
  }
}

describe('the table of programs', () => {
  test('has well over 200, each with a reading', () => {
    expect(builtIn.size).toBeGreaterThan(400);
    for (const [name, { reader }] of builtIn) {
      const effect = reader([], { name, terminal: false, runs: () => ({ action: 'read', files: [] }) });
      expect(effect.files.every(({ path }) => path !== '')).toBe(true);
    }
  });

  test('says of a program that is never known what it is able to do', () => {
    expect(understandLine('curl https://example.com', host).because).toEqual([
      'what curl does is not known: it can read files, write files, run or end other programs, use the network',
    ]);
    expect(understandLine('no-such-program', host).because).toEqual(['what no-such-program does is not known']);
    expect(understandLine('constructor; toString', host).because).toHaveLength(2);
  });

  test('reads what a row of every form says', () => {
    const rows = [
      'look: {can: [read], words: files, refuses: ["^-x"]}',
      'say: {can: [], words: text, only: "^-v$"}',
      'put: {can: [read, write], words: changed, does: write, access: update, before: read, options: "^-f$"}',
      'ctl: {can: [read, run], words: verb, of: job, verbs: {read: [show], execute: [start]}, options: "^-q$"}',
      'on: {can: [run], words: program, valued: "^-n$"}',
      'never: {can: [network]}',
    ];
    const programs = readPrograms(`programs:\n${rows.map((row) => `  ${row}\n`).join('')}`, 'programs.yaml');
    const read = (name: string, ...args: string[]) =>
      programs.get(name)!.reader(args, {
        name,
        terminal: false,
        runs: (argv) => ({ action: 'delete', files: [{ path: argv.join(' '), access: 'delete' }] }),
      });
    expect(read('look', '-a', 'f')).toEqual({ action: 'read', files: [{ path: 'f', access: 'read' }] });
    expect(read('look', '-x', 'f').because).toBe('look -x does more than read');
    expect(read('say', '-v').because).toBeUndefined();
    expect(read('say', 'f').because).toBe('say f may do more than inform');
    expect(read('put', '-f', 'a', 'b').files.map(({ path, access }) => `${access} ${path}`)).toEqual(['read a', 'update b', 'update b/a']); // prettier-ignore
    expect(read('put', '-g', 'a', 'b').because).toBe('what put -g does is not known');
    expect(read('ctl', 'start', '-q', 'web')).toMatchObject({
      action: 'execute',
      others: [{ type: 'job', name: 'web' }],
    });
    expect(read('ctl', 'stop').because).toBe('what ctl stop does is not known');
    expect(read('on', '-n', '5', 'rm', 'x').files).toEqual([{ path: 'rm x', access: 'delete' }]);
    expect(read('on', '-z', 'rm').because).toBe('what on would run is not known');
    expect(read('never').because).toBe('what never does is not known: it can use the network');
  });

  test.each<readonly [string, readonly string[], string]>([
    ['an ability that is none', ['a: {can: [fly]}'], 'programs.yaml:2: a.can.0 must be one of read, write, run, network, privilege'], // prettier-ignore
    ['a row without abilities', ['a: {can: []}', 'b: {words: files}'], 'programs.yaml:3: b must have required properties can'], // prettier-ignore
    ['a form that is none', ['a: {can: [], words: letters}'], 'programs.yaml:2: a.words must be one of files, names, paths, text, changed, verb, program, own, or absent'], // prettier-ignore
    ['a field of another form', ['a: {can: [read], words: files, verbs: {}}'], 'programs.yaml:2: a.verbs is no field of words: files'], // prettier-ignore
    ['a field beside no words', ['a: {can: [read], refuses: [x]}'], 'programs.yaml:2: a.refuses is no field of a row without words'], // prettier-ignore
    ['a reading that the code does not have', ['a: {can: [read], words: own}'], 'programs.yaml:2: a.words the code has no reading of its own'], // prettier-ignore
    ['words that it is not able to act on', ['a: {can: [], words: files}'], 'programs.yaml:2: a.can lacks read, though its words are files'], // prettier-ignore
    ['a name that is none', ['a/b: {can: []}'], 'programs.yaml:2: a/b is no name of a program'],
    ['a row that is none', ['a: files'], 'programs.yaml:2: a must be object'],
    ['another key', ['a: {can: []}\nother: 1'], 'programs.yaml:1: it must have programs, which maps names to what they do, and nothing else'], // prettier-ignore
  ])('with %s is refused, with its line', (_what, lines, told) => {
    expect(faults(...lines)).toEqual([told]);
  });

  test('with a program twice, or with a pattern that is none, is refused', () => {
    expect(faults('a: {can: []}', 'a: {can: []}')).toEqual([expect.stringMatching(/^programs\.yaml:3: Map keys must be unique/u)]); // prettier-ignore
    expect(faults('a: {can: [read], words: files,', '    refuses: ["("]}')).toEqual([
      expect.stringMatching(/^programs\.yaml:3: a\.refuses is no pattern: /u),
    ]);
  });
});
