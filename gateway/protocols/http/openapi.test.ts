import { describe, expect, test } from '@jest/globals';
import { readApiDocument } from './openapi.js';

const text = `
openapi: 3.1.0
info: {title: Machines, version: "1"}
paths:
  /machines:
    get: {operationId: listMachines}
    post: {operationId: createMachine}
  /machines/{id}:
    get: {operationId: getMachine}
    delete: {operationId: deleteMachine}
  /machines/all:
    get: {operationId: getAll}
  /machines/{id}/disks/{disk}:
    put: {operationId: attachDisk}
  /machines/{name}.json:
    get: {operationId: exportMachine}
  /a/{one}/c: {get: {operationId: first}}
  /a/{two}/c: {get: {operationId: second}}
  /a.b/(x): {get: {operationId: literal}}
  /unnamed: {get: {}}
  /shared: {$ref: "#/components/pathItems/Shared"}
  x-note: {get: {operationId: note}}
components:
  pathItems:
    Shared: {get: {operationId: shared}}
`;

const document = readApiDocument(text);
const find = (method: string, path: string) => document.find(method, path.slice(1).split('/'));

describe('a request', () => {
  test.each([
    ['GET', '/machines', 'listMachines', {}],
    ['POST', '/machines', 'createMachine', {}],
    ['GET', '/machines/7', 'getMachine', { id: '7' }],
    ['GET', '/machines/all', 'getAll', {}],
    ['GET', '/machines/web.json', 'exportMachine', { name: 'web' }],
    ['PUT', '/machines/7/disks/x y', 'attachDisk', { id: '7', disk: 'x y' }],
    ['GET', '/a.b/(x)', 'literal', {}],
    ['GET', '/shared', 'shared', {}],
  ])('%s %s is %s', (method, path, operationId, parameters) => {
    expect(find(method, path)).toMatchObject({ operationId, parameters });
  });

  test.each([
    ['DELETE', '/machines'],
    ['DELETE', '/machines/all'],
    ['HEAD', '/machines'],
    ['GET', '/machines/'],
    ['GET', '/Machines'],
    ['GET', '/machines/7/disks'],
    ['GET', '/a/1/c'],
    ['GET', '/aXb/(x)'],
    ['GET', 'x-note'],
    ['GET', '/__proto__'],
  ])('%s %s is none that is known', (method, path) => {
    expect(find(method, path)).toBeUndefined();
  });

  test('without a name has its template', () => {
    expect(find('GET', '/unnamed')).toEqual({ template: '/unnamed', parameters: {} });
  });
});

test.each([
  ['swagger: "2.0"', 'no OpenAPI document of version 3'],
  ['openapi: 3.0.0\npaths: []', 'paths is no object'],
  ['openapi: 3.0.0\npaths: {/a: {get: x}}', 'get of /a is no object'],
  ['openapi: 3.0.0\npaths: {/a: {$ref: other.yaml}}', 'described elsewhere'],
  ['openapi: 3.0.0\npaths: {"/{a}/{a}": {}}', 'a parameter twice'],
  ['{"openapi": "3.0.0", "openapi": "3.0.0"}', 'neither YAML nor JSON'],
])('%j is refused', (document, message) => {
  expect(() => readApiDocument(document)).toThrow(message);
});
