import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { engineCodes } from '#engine';
import { protocols } from '../gateway/registry.js';

/** The repository itself under test: what a reader would stumble over, and lists that have to agree. */

const root = join(import.meta.dirname, '..');
const lines_max = 500;

const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(root, file)) && statSync(join(root, file)).isFile());
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const code = files.filter((file) => /\.(ts|mts|js|mjs|cjs|rego|sh)$/.test(file) || file === '.ci/run');
const pages = files.filter((file) => file.endsWith('.md'));
const text = files.filter((file) => !/\.(wasm|png|ico|gz|bin|snap)$/.test(file) && file !== 'package-lock.json');

/** "file:line: the line" for each line that matches. */
function find(among: readonly string[], pattern: RegExp): string[] {
  return among.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 160)}`] : [])),
  );
}

const folders = (path: string): string[] =>
  existsSync(join(root, path))
    ? readdirSync(join(root, path), { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => name)
        .sort()
    : [];

describe('the repository', () => {
  test('was really looked at', () => {
    expect(code.length).toBeGreaterThan(50);
    expect(pages.length).toBeGreaterThan(10);
  });

  test('holds no markers of work that is not done', () => {
    // Spelt apart, so that this file is no finding.
    const markers = ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'];
    expect(find([...code, ...pages], new RegExp(`\\b(${markers.join('|')})\\b`))).toEqual([]);
  });

  test('has no test that is skipped for good or run alone', () => {
    const tests = code.filter((file) => file.endsWith('.test.ts'));
    expect(
      find(tests, /\b(test|it|describe)\.only\b|\bf(it|describe)\(|\bx(it|test|describe)\(|\b(test|it)\.todo\b/),
    ).toEqual([]);
    // A test that depends on a client is skipped by a condition: `(here ? test : test.skip)('…')`, never by a call.
    expect(find(tests, /\b(test|it|describe)\.skip(\.each)?\s*\(/)).toEqual([]);
  });

  test("names no machine of ours, and no package registry's host", () => {
    const places = [
      '/wo' + 'rk/(main|shared)',
      '\\bshared/(design|style|engine|masking|libraries|performance)' + '\\.md',
      '/home/[a-z]+/',
      '/Users/[a-z]+/',
    ];
    const hosts = ['registry\\.npm' + 'js\\.', 'npm\\.pk' + 'g\\.', 'proxy\\.gol' + 'ang\\.', 'pypi\\.o' + 'rg'];
    expect(find(text, new RegExp([...places, ...hosts].join('|')))).toEqual([]);
    expect(find(['package-lock.json'], /"resolved": "https?:/)).toEqual([]);
  });

  test('has no file too long to be read in one sitting', () => {
    const long = code
      .map((file) => [file, read(file).split('\n').length] as const)
      .filter(([, lines]) => lines > lines_max);
    expect(long).toEqual([]);
  });

  test('has no white space at the end of lines, and ends each file with one newline', () => {
    expect(find([...code, ...pages], /[ \t]+$/)).toEqual([]);
    expect([...code, ...pages].filter((file) => !/[^\n]\n$/.test(read(file)))).toEqual([]);
  });
});

describe('a protocol', () => {
  const names = protocols.map(({ name }) => name).sort();

  test('is one folder, one row of the registry, one Rego library with schema and cases', () => {
    expect(names.length).toBeGreaterThan(0);
    expect(folders('gateway/protocols')).toEqual(names);
    expect(folders('rego/sallyport')).toEqual(names);
    expect(folders('rego/cases')).toEqual(expect.arrayContaining(names));
    for (const name of names) expect(existsSync(join(root, `rego/schemas/${name}.json`))).toBe(true);
  });

  test('has its page in the documentation', () => {
    for (const name of names) expect(pages).toContain(`docs/protocols/${name}.md`);
  });

  test('has the files that every protocol has', () => {
    for (const name of names) {
      const own = readdirSync(join(root, 'gateway/protocols', name)).filter((file) => !file.endsWith('.test.ts'));
      const steps = ['listener.ts', 'codec.ts', 'operation.ts', 'enforce.ts', 'upstream.ts', 'index.ts'];
      expect(own).toEqual(expect.arrayContaining(steps));
    }
  });
});

describe('the documentation', () => {
  test('links to what is there', () => {
    const broken = pages.flatMap((page) =>
      links(page)
        .filter((target) => !/^[a-z]+:/i.test(target))
        .filter((target) => !resolves(page, target))
        .map((target) => `${page}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  test('lists every decision in the index, and no other', () => {
    const decisions = pages
      .filter((page) => /^docs\/decisions\/\d{4}-/.test(page))
      .map((page) => page.split('/').at(-1));
    const listed = links('docs/decisions/README.md').filter((target) => /^\d{4}-/.test(target));
    expect([...new Set(listed)].sort()).toEqual([...decisions].sort());
    const numbers = decisions.map((name) => name?.slice(0, 4));
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test('mentions only npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = pages.flatMap((page) =>
      [...read(page).matchAll(/npm run (?:-s |--silent )?([a-z][a-z:-]*)/g)].map(([, name]) => ({
        page,
        name: name ?? '',
      })),
    );
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter(({ name }) => !(name in scripts))).toEqual([]);
  });

  test('explains every code that a refusal can carry', () => {
    const headings = [...read('docs/errors.md').matchAll(/^#{2,4} `([a-z_]+)`$/gm)].map(([, name]) => name);
    expect(headings).toEqual(expect.arrayContaining(Object.keys(engineCodes)));
    const kinds = [...read('gateway/errors.ts').matchAll(/readonly code = '([a-z]+)'/g)].map(([, name]) => name);
    expect(kinds.length).toBeGreaterThan(5);
    expect(headings).toEqual(expect.arrayContaining(kinds));
  });
});

/** The targets of a page's links, code left out. */
function links(page: string): string[] {
  const prose = read(page)
    .replace(/^(```|~~~)[\s\S]*?^\1/gm, '')
    .replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^()\s]+)(?: "[^"]*")?\)/g)].map(([, target]) => target ?? '');
}

function resolves(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : normalize(join(dirname(page), decodeURIComponent(path)));
  if (!existsSync(join(root, file))) return false;
  return anchor === undefined || (file.endsWith('.md') && anchors(file).has(anchor));
}

/** What a heading is called in a link: lower case, punctuation dropped, spaces as hyphens. */
function anchors(page: string): Set<string> {
  const headings = [
    ...read(page)
      .replace(/^(```|~~~)[\s\S]*?^\1/gm, '')
      .matchAll(/^#{1,6} (.+)$/gm),
  ].map(([, heading]) => heading ?? '');
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-'),
    ),
  );
}
