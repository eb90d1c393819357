import { describe, expect, test } from '@jest/globals';
import { readCases } from './cases.js';

/** What a repository's cases may take of the gateway that reads them. */

const read = (files: Record<string, string>) =>
  readCases(new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])));

const cases = (count: number) =>
  `cases:\n${Array.from({ length: count }, (_, at) => `  - {description: c${at}, want: {outcome: deny}}\n`).join('')}`;

describe('cases', () => {
  test('that have all of a large document given to each are refused before they are written out', () => {
    const given = `given: {operation: {text: ${'x'.repeat(100_000)}}}\n`;
    expect(read({ 'a.cases.yaml': given + cases(100) })).toHaveLength(100);
    expect(() => read({ 'a.cases.yaml': given + cases(1_000) })).toThrow(/all inputs have more than 32 MiB/);
  });

  test('in files that are too large are refused before they are read', () => {
    const padded = `# ${'x'.repeat(1_000_000)}\n${cases(1)}`;
    expect(read({ 'a.cases.yaml': padded })).toHaveLength(1);
    expect(() => read({ 'a.cases.yaml': `# ${'x'.repeat(1_100_000)}\n${cases(1)}` })).toThrow(/more than 1 MiB/);
    const many = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`${at}.cases.yaml`, padded]));
    expect(() => read(many)).toThrow(/all files of cases more than 4/);
  });
});
