/**
 * Writes gateway/protocols/kubernetes/protobuf/messages.txt, the table of Kubernetes' own messages, and vectors.jsonl beside it, objects
 * as Kubernetes' own code writes and reads them. It needs Go, which fetches the modules that test/kube/typed/go.mod pins; for a newer
 * version of Kubernetes write that there.
 *
 *   node scripts/kubernetes-messages.mjs
 *
 * The table is made of the Go types themselves, by their tags: these have the numbers of protobuf and the names of JSON side by side, and
 * what JSON leaves out where it is empty, which the .proto files of the same modules do not have. A type with a JSON of its own that is
 * not known ends the program. Blocks of lines, with an empty line between them:
 *
 *   # MODULE VERSION                              what it was made of, and whose it is
 *   GROUP/VERSION PACKAGE KIND…                   the kinds; * has those that are the same in all groups
 *   PACKAGE.MESSAGE NAME=NUMBER:TYPE…             the fields, by their name in JSON; without a name: its members stand among the others
 *
 * TYPE: *T may be absent, []T is a list, {}T a map, <>T a list that is a message of its own, |M a message of which JSON has one field in
 * its place; T a scalar, a special type (special.ts), or a message, without its package where that is the same. Behind it: ! where JSON
 * has it even if it is empty, 0 where JSON leaves a zero out.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const types = new URL('../test/kube/typed/', import.meta.url);
const target = new URL('../gateway/protocols/kubernetes/protobuf/', import.meta.url);

const run = (command, input = '') =>
  execFileSync('go', ['run', '.', command], { cwd: types, input, encoding: 'utf8', maxBuffer: 67_108_864 });

const table = run('table');
writeFileSync(new URL('messages.txt', target), table);
const vectors = run('vectors', readFileSync(new URL('objects.yaml', types), 'utf8'));
writeFileSync(new URL('vectors.jsonl', target), vectors);
const [, kinds, messages] = table.trimEnd().split('\n\n');
console.log(
  `${kinds.split('\n').length} groups and versions, ${messages.split('\n').length} messages, ${vectors.trimEnd().split('\n').length} vectors`,
);
