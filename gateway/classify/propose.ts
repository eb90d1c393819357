import { connect, type Client, type GatewayAddress } from './connect.js';
import { judge, type Column, type Finding, type Sample } from './judge.js';
import { proposedMasks } from './kinds.js';
import type { Labels } from './labels.js';
import { limitTime, readRelations, readSamples, type Relation } from './read.js';

export interface ClassifyOptions {
  readonly target: string;
  readonly gateway: GatewayAddress;
  readonly token: string;
  /** None: all but the server's own. */
  readonly schemas: readonly string[];
  /** At most so many rows of each relation; 0: names only. */
  readonly rows_max: number;
  /** What the policy says already: kept, and not looked at again. */
  readonly labels: Labels;
  readonly progress: (line: string) => void;
}

/** What is proposed of one column. Nothing of its values is in it. */
export interface ColumnProposal {
  /** schema.relation.column */
  readonly column: string;
  readonly relation: string;
  readonly type?: string;
  readonly status: 'kept' | 'proposed' | 'maybe' | 'none';
  readonly labels: readonly string[];
  readonly finding?: Finding;
  /** How many values were looked at, none of them NULL; or why none. */
  readonly values: number | 'kept' | 'masked' | 'refused' | 'not read' | 'failed';
}

export interface MaskProposal {
  readonly label: string;
  readonly mask: string;
  readonly status: 'kept' | 'proposed';
}

export interface Proposal {
  readonly target: string;
  readonly rows_max: number;
  readonly relations: number;
  readonly columns: readonly ColumnProposal[];
  readonly masks: readonly MaskProposal[];
  /** What whoever reads the proposal has to know: one line each. */
  readonly warnings: readonly string[];
}

/** Looks at a target through the gateway, as any client of it, and proposes labels. */
export async function propose(options: ClassifyOptions): Promise<Proposal> {
  const client = await connect(options.gateway, options.target, options.token);
  try {
    return await proposeWith(client, options);
  } finally {
    await client.close().catch(() => undefined);
  }
}

async function proposeWith(client: Client, options: ClassifyOptions): Promise<Proposal> {
  const { labels, progress, rows_max, schemas, target } = options;
  const warnings: string[] = [];
  const noLimit = await limitTime(client);
  if (noLimit !== undefined) warnings.push(`statements run without a time limit of the server: ${noLimit}`);
  const { relations, missing, cut } = await readRelations(client, schemas);
  for (const schema of missing)
    warnings.push(`schema ${JSON.stringify(schema)} has no tables, or the upstream's role sees none of them`);
  if (cut) warnings.push('there are more columns than are looked at in one run: name schemas with --schema');

  const columns: ColumnProposal[] = [];
  for (const [index, relation] of relations.entries()) {
    progress(`${index + 1} of ${relations.length}: ${relation.name}`);
    columns.push(...(await proposeRelation(client, relation, options, warnings)));
  }
  const seen = new Set(columns.map(({ column }) => column));
  for (const [column, kept] of labels.columns) {
    if (seen.has(column)) continue;
    const relation = column.slice(0, Math.max(column.lastIndexOf('.'), 0));
    columns.push({ column, relation, status: 'kept', labels: kept, values: 'kept' });
  }
  return { target, rows_max, relations: relations.length, columns, masks: masksFor(columns, labels), warnings };
}

async function proposeRelation(
  client: Client,
  relation: Relation,
  { labels, rows_max }: ClassifyOptions,
  warnings: string[],
): Promise<ColumnProposal[]> {
  const open = relation.columns.filter(({ name }) => !labels.columns.has(name));
  const samples = rows_max === 0 ? new Map<string, Sample>() : await readSamples(client, relation, open, rows_max);
  const why = new Set<string>();
  const proposals = relation.columns.map((column) => {
    const kept = labels.columns.get(column.name);
    if (kept !== undefined) return keep(column, kept);
    const sample = samples.get(column.name) ?? { without: 'not read' };
    if ('why' in sample && sample.why !== undefined) why.add(sample.why);
    return proposeColumn(column, sample);
  });
  const unnamed = proposals.filter(({ column, labels: found }) => found.length > 0 && !canBeLabelled(column)).length;
  if (unnamed > 0)
    warnings.push(
      `${relation.name}: ${count(unnamed, 'column')} cannot be labelled: in a policy, names have no dots, quotes or stars in them`,
    );
  for (const state of ['masked', 'refused', 'failed'] as const) {
    const those = proposals.filter(({ values }) => values === state);
    if (those.length > 0) warnings.push(`${relation.name}: ${count(those.length, 'column')} ${saidOf[state](why)}`);
  }
  return proposals;
}

/** Whether a policy's data can name it: schema.relation.column, as it stands. */
const canBeLabelled = (name: string): boolean =>
  name.split('.').length === 3 && name.split('.').every((part) => part === part.trim() && /^[^"*]+$/.test(part));

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

const saidOf = {
  masked: () => 'came masked: only names and types count there',
  refused: (why: ReadonlySet<string>) => `refused (${[...why].join('; ')}): only names and types count there`,
  failed: (why: ReadonlySet<string>) => `could not be read (${[...why].join('; ')}): only names and types count there`,
} as const;

const keep = (column: Column, labels: readonly string[]): ColumnProposal => ({
  ...{ column: column.name, relation: column.relation, type: column.type, status: 'kept', labels, values: 'kept' },
});

function proposeColumn(column: Column, sample: Sample): ColumnProposal {
  const finding = judge(column, sample);
  const values = 'values' in sample ? sample.values.length : sample.without;
  const base = { column: column.name, relation: column.relation, type: column.type, values };
  if (finding === undefined) return { ...base, status: 'none', labels: [] };
  const status = finding.certainty === 'maybe' || !canBeLabelled(column.name) ? 'maybe' : 'proposed';
  return { ...base, status, labels: [finding.label], finding };
}

/** A mask for each label that would be in the data afterwards, or may be: the policy's own where it has one. */
function masksFor(columns: readonly ColumnProposal[], { masks }: Labels): MaskProposal[] {
  const used = new Set(columns.flatMap(({ labels }) => labels));
  return [...used].sort().map((label) => {
    const kept = masks.get(label);
    return kept === undefined
      ? { label, mask: proposedMasks[label] ?? 'redact', status: 'proposed' }
      : { label, mask: kept, status: 'kept' };
  });
}
