import { describe, expect } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readAddress } from '../../gateway/protocols/kubernetes/address.js';
import { requestInfo, type RequestInfo } from '../../gateway/protocols/kubernetes/request-info.js';
import { clientTest, runProgram } from './support.js';

/**
 * What a request is to the gateway, and to the API server itself: its own tables, read from the tests of the Go module
 * k8s.io/apiserver. Nothing of them is in this repository.
 */
const module = 'k8s.io/apiserver@v0.34.4';
const file = 'pkg/endpoints/request/requestinfo_test.go';
const group = "requests are what the API server's own tests say:";

describe(group, () => {
  let source: string | undefined;
  const table = async (from: string, to: string): Promise<string> => {
    source ??= await readTests();
    const start = source.indexOf(from);
    const end = source.indexOf(to, start);
    if (start < 0 || end < 0) throw new Error(`the tests of ${module} have no table "${from}"`);
    return source.slice(start, end);
  };
  const read = (method: string, url: string): RequestInfo => requestInfo(method, readAddress(url));

  clientTest(group, 'verbs, groups, namespaces, resources, subresources and names', async () => {
    const text = await table('successCases := ', 'resolver := ');
    const rows = [...text.matchAll(/^\s*\{Method(\w+), (.*), \[\]string\{(.*)\}\},$/gm)];
    const failed: unknown[] = [];
    for (const [, method = '', cells = '', parts = ''] of rows) {
      const [url, verb, , apiGroup, version, namespace, resource, subresource, name] = cells
        .split(', ')
        .map((cell) => (cell === 'namespaceAll' ? '' : (JSON.parse(cell) as string)));
      const info = read(method.toUpperCase(), url!);
      const theirs = { verb, version, namespace, resource, subresource, name, group: apiGroup };
      const own = info.isResource ? info : undefined;
      const same = Object.entries(theirs).every(([key, value]) => own?.[key as keyof typeof theirs] === value);
      if (!same || own?.parts.join() !== (JSON.parse(`[${parts}]`) as string[]).join())
        failed.push({ url, theirs, info });
    }
    expect(failed).toEqual([]);
    // None of them was overlooked.
    expect(rows).toHaveLength(text.match(/\{Method/g)?.length ?? 0);
    expect(rows.length).toBeGreaterThan(25);
  });

  clientTest(group, 'what is a resource, and what is none', async () => {
    const none = [...(await table('errorCases := ', 'for k, v')).matchAll(/^\s*"[^"]+":\s+"([^"]*)",$/gm)];
    const mixed = [
      ...(await table('func TestGetNonAPIRequestInfo', 'resolver := ')).matchAll(/\{"([^"]*)", (true|false)\}/g),
    ];
    const cases = [
      ...none.map(([, url = '']) => [url, false] as const),
      ...mixed.map(([, url = '', is]) => [url, is === 'true'] as const),
    ];
    expect(cases.map(([url]) => [url, read('GET', url).isResource])).toEqual(cases);
    expect(cases.length).toBeGreaterThan(15);
  });

  clientTest(group, 'selectors, and the names in them', async () => {
    const text = await table('func TestSelectorParsing', 'resolver := ');
    const blocks = text.split(/^\t\t\{$/m).slice(1);
    const field = (block: string, name: string) =>
      new RegExp(`^\\s*${name}:\\s+"([^"]*)",$`, 'm').exec(block)?.[1] ?? '';
    const results = blocks.map((block) => {
      const url = field(block, 'url');
      const repeated = /fieldSelector=.*fieldSelector=/.test(url);
      const method = /method:\s+Method(\w+)/.exec(block)?.[1]?.toUpperCase() ?? '';
      const theirs = {
        name: field(block, 'expectedName'),
        verb: field(block, 'expectedVerb'),
        fieldSelector: field(block, 'expectedFieldSelector'),
        labelSelector: field(block, 'expectedLabelSelector'),
      };
      // Of two values the API server takes the first, and others the last: the gateway takes none.
      if (repeated) return { url, same: refuses(() => read(method, url)) };
      const info = read(method, url);
      const same = Object.entries(theirs).every(
        ([key, value]) => info.isResource && info[key as keyof typeof theirs] === value,
      );
      return { url, same };
    });
    expect(results.filter(({ same }) => !same)).toEqual([]);
    expect(results.length).toBeGreaterThan(10);
  });
});

function refuses(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch {
    return true;
  }
}

async function readTests(): Promise<string> {
  const { stdout, stderr } = await runProgram('go', ['mod', 'download', '-json', module]);
  const { Dir: folder } = JSON.parse(stdout) as { Dir?: string };
  if (folder === undefined) throw new Error(`${module} could not be had: ${stderr}`);
  return readFile(join(folder, file), 'utf8');
}
