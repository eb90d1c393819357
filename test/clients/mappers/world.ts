import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTestGateway, type TestGateway } from '../../support/gateway.js';
import { createDatabase, type TestDatabase } from '../../support/postgres.js';
import { libpq, runProgram } from '../support.js';

/**
 * A shop in two equal databases: object mappers do the same work at one of them directly, and at the other one through a
 * gateway that masks. What they get has to be the same but for masked cells, which are known by their names.
 */
export interface Shop {
  /** Runs a check at both and gives what each of its steps came to. */
  check(client: string, command: string, parameters: (packages: string) => readonly string[]): Promise<Outcomes>;
  close(): Promise<void>;
}

export interface Outcomes {
  readonly direct: Readonly<Record<string, unknown>>;
  readonly through: Readonly<Record<string, unknown>>;
}

type Leaf = string | number | boolean | null;

/** Masked columns, and what stands in place of a value that the server itself gives. */
const masks: Readonly<Record<string, { readonly rule: string; shown(value: Leaf): Leaf }>> = {
  email: { rule: '"with": "partial"', shown: (value) => (value === null ? null : `${String(value).charAt(0)}***@***`) },
  ssn: { rule: '"with": "redact"', shown: () => '***' },
  born: { rule: '"with": "null"', shown: () => null },
  balance: {
    rule: '"with": "truncate", "parameters": {"digits": -3}',
    shown: (value) => (value === null ? null : Math.trunc(Number(value) / 1000) * 1000),
  },
};

const policy = `package policy.postgres

allow contains {"code": "everything"} if input.version == 1
${Object.entries(masks)
  .map(
    ([column, { rule }]) => `
mask contains {"resource": "public.customers.${column}", ${rule}, "code": "pii"} if {
	some resource in input.operation.resources
	resource.name == "public.customers.${column}"
}
`,
  )
  .join('')}`;

/**
 * What shall come through the gateway where this came from the server: masked columns are known by their names, in whatever
 * case and with whatever is put in front (customer_email, customers__email).
 */
export function behindMasks(value: unknown, name = ''): unknown {
  const column = /[a-z]+$/.exec(name.toLowerCase())?.[0] ?? '';
  if (value === null || typeof value !== 'object') {
    if (!Object.hasOwn(masks, column)) return value;
    const shown = masks[column]!.shown(value as Leaf);
    return typeof shown === 'number' ? { number: shown } : shown;
  }
  if (Array.isArray(value)) return value.map((each) => behindMasks(each, name));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, behindMasks(each, key)]));
}

/** Numbers of a masked column are compared as such: 1000.00 is 1000. */
export function asSeen(value: unknown, name = ''): unknown {
  if (value === null || typeof value !== 'object')
    return /balance$/i.test(name) && value !== null ? { number: Number(value) } : value;
  if (Array.isArray(value)) return value.map((each) => asSeen(each, name));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, asSeen(each, key)]));
}

export async function openShop(): Promise<Shop> {
  const sql = readFileSync(join(import.meta.dirname, 'shop.sql'), 'utf8');
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    const server: TestDatabase = await createDatabase({ sql });
    closers.push(() => server.drop());
    const guarded = await createDatabase({ copyOf: server });
    closers.push(() => guarded.drop());
    const gateway: TestGateway = await startTestGateway({ database: guarded, policy: { 'postgres.rego': policy } });
    closers.push(() => gateway.close());
    return {
      close,
      async check(client, command, parameters) {
        const probe = spawnSync('node', [join(import.meta.dirname, '../probe.mjs'), client], { encoding: 'utf8' });
        const packages = probe.stdout.trim();
        const run = async (env: Record<string, string>) => {
          const { code, stdout, stderr } = await runProgram(command, parameters(packages), {
            env: { ...env, CLIENT_PACKAGES: packages, PYTHONDONTWRITEBYTECODE: '1' },
          });
          if (code !== 0) throw new Error(`${client} ended with ${String(code)}: ${stderr}`);
          return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
        };
        return {
          direct: await run(libpq(server)),
          through: await run(libpq(await gateway.connection({ expiresIn: 1_800 }))),
        };
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
