import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BundleError } from './error.js';
import { parseModules, type Tool } from './opa-run.js';
import { findOpa } from './opa.js';
import { SnapshotBuilder } from './snapshot.js';

describe('many files', () => {
  let tool: Tool;
  beforeAll(async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-parse-'));
    tool = { opa: await findOpa(), folder, bundle: '.', capabilities: '', limits: {}, tests_ms_max: 1 };
  });
  afterAll(() => rm(tool.folder, { recursive: true, force: true }));

  /** Each value is `{`, which is no Rego, where `isBad` says so. */
  function snapshot(isBad: (index: number) => boolean) {
    const builder = new SnapshotBuilder();
    for (let index = 0; index < 40; index++)
      builder.add(`m${index}.rego`, Buffer.from(`package lib.m${index}\n\nx := ${isBad(index) ? '{' : index}\n`));
    return builder.finish({});
  }

  test('are parsed each by itself, whichever came before it', async () => {
    const modules = await parseModules(
      tool,
      snapshot(() => false),
      new Map(),
    );
    expect(modules.map((one) => [one.file, one.package])).toEqual(
      [...snapshot(() => false).files.keys()].map((file) => [file, `lib.${file.replace('.rego', '')}`]),
    );
  });

  test('are told of together where several are wrong', async () => {
    const isBad = (index: number) => index % 10 === 3 || index % 10 === 4;
    const failure = (await parseModules(tool, snapshot(isBad), new Map()).catch(
      (error: unknown) => error,
    )) as BundleError;
    expect(failure).toBeInstanceOf(BundleError);
    const files = failure.problems.map(({ file, line }) => `${file ?? ''}:${String(line)}`);
    expect(new Set(files)).toEqual(new Set([3, 4, 13, 14, 23, 24, 33, 34].map((index) => `m${index}.rego:4`)));
  });

  test('whose trees are too much together are parsed alone', async () => {
    const one = (
      await parseModules(
        tool,
        snapshot(() => false),
        new Map(),
      )
    ).length;
    const small = { ...tool, limits: { output_bytes_max: 5_000 } };
    expect(
      (
        await parseModules(
          small,
          snapshot(() => false),
          new Map(),
        )
      ).length,
    ).toBe(one);
  });
});
