import type { Random } from '../corruptions.js';

/** JSON in which something is wrong: each text is none, or one that two readers would read differently. */

const names = ['kind', 'name', 'spec', 'items', 'note', 'id', 'value'];
const leaves = ['1', '-2.5', 'true', 'null', '"x"', '"two words"', '"\\u00e9"', '[]', '{}', '1e3'];

/** A value, as text. */
function value(from: Random, depth: number): string {
  switch (depth <= 0 ? 0 : from.below(3)) {
    case 1:
      return object(from, depth - 1);
    case 2:
      return `[${Array.from({ length: from.below(4) }, () => value(from, depth - 1)).join(',')}]`;
    default:
      return from.pick(leaves);
  }
}

const members = (from: Random, depth: number): string[] => {
  const first = from.below(names.length);
  return Array.from({ length: 1 + from.below(3) }, (_, at) => {
    const name = names[(first + at) % names.length]!;
    return `"${name}":${value(from, depth)}`;
  });
};

const object = (from: Random, depth: number): string => `{${members(from, depth).join(',')}}`;

/** What stands for a value and is none. */
const noValues = [
  ...['NaN', 'Infinity', '-Infinity', '+1', '01', '.5', '5.', '0x1f', '1_000', '--1', '1e', '1e999', '-', 'undefined'],
  ...[
    'True',
    'nil',
    "'x'",
    '`x`',
    'x',
    '"\\x41"',
    '"\\u12"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"a\nb"',
    '"a\tb"',
    '"\0"',
  ],
  ...[
    '"',
    '"x',
    '"\\"',
    '/* x */ 1',
    '1 // x',
    '#x',
    '(1)',
    '<x/>',
    '9007199254740993',
    '0.1e-999999',
    '1.0000000000000001',
    ',',
    '[',
    '{',
    ']',
    '}',
  ],
  ...[
    '[1,]',
    '[,1]',
    '[1 2]',
    '{"a":1,}',
    '{,}',
    '{"a"}',
    '{"a":}',
    '{a:1}',
    '{1:1}',
    '{"a":1 "b":2}',
    '{"a"=1}',
    '{"a":1;}',
  ],
  ...['{"a":1,"a":2}', '{"a":1,"A":2}', '{"a":1,"\\u0061":2}', '{"k":1,"\u212a":2}', '{"\\u0000":1}'],
  ...['\f1', '\u00a01', '\u20281', '\ufeff1', '1\v'],
];

export function brokenJson(from: Random): Buffer {
  switch (from.below(8)) {
    case 0: {
      const text = object(from, 3);
      return Buffer.from(text.slice(0, 1 + from.below(text.length - 1)));
    }
    case 1:
      return Buffer.from(object(from, 2) + from.pick(['x', '}', ']', ',', object(from, 1), '\0', '"', '//x']));
    case 2: {
      const depth = 65 + from.below(3_000);
      const [opening, closing] = from.pick([
        ['[', ']'],
        ['{"a":', '}'],
      ] as const);
      return Buffer.from(`${opening.repeat(depth)}1${from.below(2) === 0 ? closing.repeat(depth) : ''}`);
    }
    case 3:
      return Buffer.concat([
        Buffer.from('{"name":"'),
        Buffer.from(
          from.pick([[0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xff], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0x80]]),
        ),
        Buffer.from('"}'),
      ]);
    case 4:
      return Buffer.concat([
        Buffer.from(
          from.pick([
            [0xef, 0xbb, 0xbf],
            [0xff, 0xfe],
            [0xfe, 0xff],
            [0, 0, 0xfe, 0xff],
          ]),
        ),
        Buffer.from(object(from, 1)),
      ]);
    case 5:
      return Buffer.from(object(from, 1), 'utf16le');
    default: {
      const rest = members(from, 2);
      rest.splice(from.below(rest.length + 1), 0, `"broken":${from.pick(noValues)}`);
      return Buffer.from(`{${rest.join(',')}}`);
    }
  }
}

/** YAML that is none, or that would have to be guessed at. */
export const brokenYaml = (from: Random): string =>
  from.pick([
    'a: 1\na: 2\n',
    'a: &x 1\nb: *x\n',
    'a: [1, 2\n',
    'a: {b: 1\n',
    '\ta: 1\n',
    'a: "x\n',
    'a: b: c\n',
    '%YAML 9.9\n---\na: 1\n...\nb\n',
    'a: .inf\n',
    'a: .nan\n',
    'a: 12345678901234567890123\n',
    `a: ${'['.repeat(from.below(50) + 10)}\n`,
    '- a\nb: c\n',
    '? [1]\n: 2\n',
    'a: |\nb\n c\n',
    'a: *nobody\n',
    '<<: *x\n',
    'a: 2026-11-28\n',
    'a: !!binary aGVsbG8=\n',
    "a: 'x\n",
  ]);
