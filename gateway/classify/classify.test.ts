import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { judge, type Column, type Sample } from './judge.js';
import { kinds, shapeOf, type Kind } from './kinds.js';
import { labelsOf } from './labels.js';
import { kindByName } from './names.js';
import type { Proposal } from './propose.js';
import { kindsInside, looksLike, mayBe, value_characters_max } from './values.js';
import { asJson, asYaml, isProposal } from './write.js';

const cases = (file: string): unknown => parse(readFileSync(join(import.meta.dirname, 'cases', file), 'utf8'));

describe('a value', () => {
  type Values = Readonly<Record<'yes' | 'no', string[]> & { named?: string[] }>;
  const all = cases('values.yaml') as Readonly<Record<Kind, Values>>;

  test('has cases of every kind', () => {
    expect(Object.keys(all).sort()).toEqual([...kinds].sort());
  });

  for (const [kind, { yes, no, named = [] }] of Object.entries(all) as [Kind, Values][]) {
    test.each(yes)(`looks like ${kind}: %s`, (value) => expect(looksLike(kind, value)).toBe(true));
    test.each(no)(`does not look like ${kind}: %s`, (value) => expect(looksLike(kind, value)).toBe(false));
    if (named.length === 0) continue;
    test.each(named)(`looks like ${kind} only where the name says so: %s`, (value) => {
      expect([looksLike(kind, value), mayBe(kind, value)]).toEqual([false, true]);
    });
  }

  test.each([
    ['write to ada@example.com today', ['email']],
    ['{"card": "4111 1111 1111 1111"}', ['card']],
    ['order 4111 1111 1111 1112 of 2026-11-22', []],
    ['pay to DE89 3704 0044 0532 0130 00 please', ['iban']],
    ['SSN 123-45-6789, call +1 415 555 2671', ['national_id', 'phone']],
    ['nothing at all', []],
  ])('has inside: %s', (value, found) => expect(kindsInside(value)).toEqual(found));

  // A pattern that goes back over its tracks would take minutes for one of these.
  test('is looked at in time that does not explode with its length', () => {
    const nasty = ['a', '1', 'a ', '1 ', '1-', 'a.', 'a@', '@a.', '(0', "a'", '+1', 'A1 '].flatMap((part) => [
      part.repeat(value_characters_max / part.length),
      `${part.repeat((value_characters_max - 2) / part.length)}\u0000!`,
      `a@${part.repeat((value_characters_max - 2) / part.length)}`,
    ]);
    const start = performance.now();
    for (const value of nasty) {
      for (const kind of kinds) mayBe(kind, value);
      kindsInside(value);
    }
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe('a name', () => {
  const all = Object.entries(cases('names.yaml') as Readonly<Record<string, string | null>>);
  test.each(all)('%s says %s', (given, kind) => {
    const [name = '', comment] = given.split(' | ');
    const dot = name.lastIndexOf('.');
    expect(kindByName(name.slice(0, dot), name.slice(dot + 1), comment)?.kind ?? null).toBe(kind);
  });
});

describe('a column', () => {
  interface Case {
    readonly column: string;
    readonly values: string | Readonly<Record<string, number>>;
    readonly found: string;
    readonly because?: string;
  }
  const categories: Readonly<Record<string, string>> = {
    ...{ text: 'S', varchar: 'S', int8: 'N', numeric: 'N', date: 'D', inet: 'I', bool: 'B', bytea: 'U', jsonb: 'U' },
    uuid: 'U',
  };

  test.each((cases('columns.yaml') as Case[]).map((one) => [one.column, one.values, one] as const))(
    '%s with %j',
    (given, values, { because, found }) => {
      const [name = '', type = ''] = given.split(' ');
      const dot = name.lastIndexOf('.');
      const shape = shapeOf(type, categories[type] ?? '');
      const column: Column = { name, relation: name.slice(0, dot), column: name.slice(dot + 1), type, shape };
      const finding = judge(column, sampleOf(values));
      expect(finding === undefined ? 'nothing' : `${finding.certainty} ${finding.label}`).toBe(found);
      if (because !== undefined) expect(finding?.because).toContain(because);
    },
  );

  function sampleOf(values: Case['values']): Sample {
    if (typeof values === 'string') return { without: values as 'masked' };
    let n = 0;
    return {
      values: Object.entries(values).flatMap(([pattern, times]) =>
        Array.from({ length: times }, () => {
          n += 1;
          return pattern
            .replace('{n}', String(n))
            .replace('{dddd}', String(1_000 + n))
            .replace('{yy}', String(20 + (n % 80)))
            .replace('{m}', String(1 + (n % 9)));
        }),
      ),
    };
  }
});

describe('a proposal', () => {
  const finding = { kind: 'email', label: 'contact', certainty: 'sure', because: '98 of 100 values …' } as const;
  const proposal: Proposal = {
    target: 'orders',
    rows_max: 100,
    relations: 2,
    columns: [
      {
        column: 'app.c.email',
        relation: 'app.c',
        type: 'text',
        status: 'proposed',
        labels: ['contact'],
        finding,
        values: 100,
      },
      {
        column: 'app.c.ssn',
        relation: 'app.c',
        type: 'text',
        status: 'kept',
        labels: ['identity', 'own'],
        values: 'kept',
      },
      {
        column: 'app.c.odd\n- name: x',
        relation: 'app.c',
        type: 'text',
        status: 'proposed',
        labels: ['contact'],
        finding,
        values: 3,
      },
      {
        ...{
          column: 'app.p.blurb\nevil: yes',
          relation: 'app.p',
          type: 'text',
          status: 'maybe',
          labels: ['text'],
          values: 9,
        },
        finding: { ...finding, certainty: 'maybe' },
      },
      { column: 'app.p.x\nmasks: {}', relation: 'app.p', type: 'int4', status: 'none', labels: [], values: 9 },
      { column: 'app.gone.name', relation: 'app.gone', status: 'kept', labels: ['yes'], values: 'kept' },
    ],
    masks: [
      { label: 'contact', mask: 'partial', status: 'kept' },
      { label: 'text', mask: 'null', status: 'proposed' },
    ],
    warnings: ['something\nto: know'],
  };

  test('is a data file that says what it should, and no more, whatever names there are', () => {
    expect(parse(asYaml(proposal))).toEqual({
      classification: {
        orders: {
          'app.c.email': 'contact',
          'app.c.ssn': ['identity', 'own'],
          'app.c.odd\n- name: x': 'contact',
          'app.gone.name': 'yes',
        },
      },
      masks: { contact: 'partial', text: 'null' },
    });
    expect(asYaml(proposal)).toContain('    # sure: 98 of 100 values …\n    app.c.email: contact\n');
    expect(asYaml(proposal)).toContain('this run has not seen the column\n    app.gone.name: "yes"\n');
    expect(asYaml(proposal)).toContain('# Nothing was found in:\n#   app.p: x\\nmasks: {}\n');
    expect(isProposal(asYaml(proposal))).toBe(true);
  });

  test('of which nothing is more than a maybe is still a data file', () => {
    const maybe = proposal.columns.filter(({ status }) => status === 'maybe' || status === 'none');
    expect(parse(asYaml({ ...proposal, columns: maybe, masks: [] }))).toEqual({ classification: { orders: {} } });
  });

  test('is the same as JSON', () => {
    expect(JSON.parse(asJson(proposal))).toMatchObject({
      ok: true,
      target: 'orders',
      columns: expect.arrayContaining([
        {
          column: 'app.c.email',
          type: 'text',
          status: 'proposed',
          labels: ['contact'],
          kind: 'email',
          certainty: 'sure',
          because: '98 of 100 values …',
          values: 100,
        },
        { column: 'app.c.ssn', type: 'text', status: 'kept', labels: ['identity', 'own'], without: 'kept' },
      ]) as unknown,
    });
  });
});

describe('the labels of a policy', () => {
  const snapshot = (files: Readonly<Record<string, string>>) => ({
    revision: 'directory:0',
    digest: '0',
    files: new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])),
  });

  test('come from every data file, at the path where it stands', () => {
    const labels = labelsOf(
      snapshot({
        'data.yaml':
          'classification: {orders: {app.c.email: contact}, other: {app.c.email: x}}\nmasks: {contact: partial}',
        'classification/data.json': '{"orders": {"app.c.ssn": ["identity", "own"]}}',
        'classification/orders/data.yml': 'app.c.name: identity',
        'masks/data.yaml': 'identity: redact',
        'elsewhere/data.yaml': 'classification: {orders: {app.c.no: x}}',
        'classification/orders.rego': 'package classification.orders',
      }),
      'orders',
    );
    expect(Object.fromEntries(labels.columns)).toEqual({
      'app.c.email': ['contact'],
      'app.c.ssn': ['identity', 'own'],
      'app.c.name': ['identity'],
    });
    expect(Object.fromEntries(labels.masks)).toEqual({ contact: 'partial', identity: 'redact' });
  });

  test('are what can be read of them', () => {
    const labels = labelsOf(snapshot({ 'data.yaml': 'classification: [a', 'x/data.yaml': '7' }), 'orders');
    expect([labels.columns.size, labels.masks.size]).toEqual([0, 0]);
  });
});
