import type { ColumnProposal, MaskProposal, Proposal } from './propose.js';

/** How each proposal begins; a file that begins otherwise is somebody's own. */
export const firstLine = (target: string): string => `# Proposed by \`sallyport classify ${target}\``;
export const isProposal = (text: string): boolean => text.startsWith('# Proposed by `sallyport classify ');

const width = 110;

/** The proposal as a data file of a policy: what is only a maybe stands in it as a comment. */
export function asYaml(proposal: Proposal): string {
  const { columns, masks, relations, rows_max, target, warnings } = proposal;
  const looked = rows_max === 0 ? 'names and types only' : `at most ${rows_max} rows of each`;
  const lines = [
    `${firstLine(target)}: ${relations} relations, ${columns.length} columns, ${looked}.`,
    '# A proposal is no proof: read it before you merge it. It replaces this target in data.classification.',
    ...warnings.map((warning) => `# Note: ${plainText(warning)}`),
    'classification:',
  ];
  const active = columns.some(({ status }) => status === 'kept' || status === 'proposed');
  lines.push(`  ${scalar(target)}:${active ? '' : ' {}'}`);
  let relation: string | undefined;
  for (const column of columns.filter(({ status }) => status !== 'none')) {
    if (relation !== undefined && relation !== column.relation) lines.push('');
    relation = column.relation;
    lines.push(...labelled(column).map((line) => `    ${line}`));
  }
  lines.push('', ...maskLines(masks), ...nothingFound(columns));
  return `${lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`;
}

function labelled({ column, finding, labels, status, type }: ColumnProposal): string[] {
  const entry = `${scalar(column)}: ${labels.length === 1 ? scalar(labels[0] ?? '') : `[${labels.map(scalar).join(', ')}]`}`;
  if (status === 'kept')
    return [`# kept: the policy's own${type === undefined ? '; this run has not seen the column' : ''}`, entry];
  return [`# ${finding?.certainty ?? ''}: ${finding?.because ?? ''}`, status === 'maybe' ? `# ${entry}` : entry];
}

function maskLines(masks: readonly MaskProposal[]): string[] {
  if (masks.length === 0) return [];
  const line = ({ label, mask, status }: MaskProposal) => [
    `  # ${status === 'kept' ? "kept: the policy's own" : 'proposed: the policy has no mask for it yet'}`,
    `  ${scalar(label)}: ${scalar(mask)}`,
  ];
  return ['masks:', ...masks.flatMap(line)];
}

/** So that whoever reads it knows what was looked at. */
function nothingFound(columns: readonly ColumnProposal[]): string[] {
  const relations = new Map<string, string[]>();
  for (const { column, relation, status } of columns) {
    if (status !== 'none') continue;
    relations.set(relation, [...(relations.get(relation) ?? []), plainText(column.slice(relation.length + 1))]);
  }
  if (relations.size === 0) return [];
  return [
    '',
    '# Nothing was found in:',
    ...[...relations].flatMap(([relation, names]) => wrap(`${plainText(relation)}: ${names.join(', ')}`)),
  ];
}

function wrap(text: string): string[] {
  const lines: string[] = [];
  let line = '#  ';
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > width && line.trim() !== '#') {
      lines.push(line);
      line = '#    ';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

/** Names in a database may hold anything: what would leave the comment is escaped. */
const plainText = (text: string): string =>
  text.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (character) => JSON.stringify(character).slice(1, -1).trim() || '?');

/** Plain where that cannot be read as anything else, else in double quotes, as JSON has them. */
function scalar(text: string): string {
  const plain = /^[A-Za-z_][\w.]*$/.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

/** For programs: the same, without the words around it. */
export function asJson({ columns, masks, relations, rows_max, target, warnings }: Proposal): string {
  return `${JSON.stringify({
    ok: true,
    target,
    rows_max,
    relations,
    columns: columns.map(({ column, finding, labels, status, type, values }) => ({
      ...{ column, type, status, labels },
      ...(finding && { kind: finding.kind, certainty: finding.certainty, because: finding.because }),
      ...(typeof values === 'number' ? { values } : { without: values }),
    })),
    masks,
    warnings,
  })}\n`;
}
