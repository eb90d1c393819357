import { pino } from 'pino';
import type { Config } from '../config/index.js';
import { openTargets } from '../credentials/index.js';
import type { Target } from '../protocol.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';
import { placeOf, reach } from './reach.js';
import { openFinding, roleFinding } from './role.js';

const ports: Readonly<Record<string, number>> = { postgres: 5432, ssh: 22 };

/** Whether each target can be reached, and for Postgres whether the gateway's role there has more power than it needs. */
export async function targetFindings({ targets, vault }: Config): Promise<Finding[]> {
  if (targets.length === 0)
    return [warn('targets', 'there are none', 'Name the guarded systems under targets: docs/configuration.md.')];
  // Their credentials are asked for as the gateway does it; what it would log is in what is found.
  const opened = await openTargets({ targets, vault, log: pino({ level: 'silent' }) });
  try {
    const found = targets.flatMap(({ input }) => opened.find(input.protocol, input.name) ?? []);
    return (await Promise.all(found.map((target) => one(target)))).flat();
  } finally {
    opened.close();
  }
}

async function one({ input, upstream, unavailable }: Target): Promise<Finding[]> {
  const check = `target ${input.name}`;
  if (unavailable !== undefined)
    return [
      fail(
        check,
        unavailable,
        'Put there what is missing (a file, a variable, what Vault or a command gives); nobody can use the target until then.',
      ),
    ];
  const place = placeOfUpstream(input.protocol, upstream);
  if (place === undefined) return [ok(check, `${input.protocol}; where it is says its own file`)];
  const where = `${place.host}:${place.port}`;
  try {
    await reach(place.host, place.port);
  } catch (error) {
    return [fail(check, `${where} cannot be reached: ${messageOf(error)}`, 'Check host, port, firewall and name service.')]; // prettier-ignore
  }
  const there = ok(check, `${input.protocol} at ${where} accepts connections`);
  if (input.protocol !== 'postgres') return [there];
  const form = upstream as Parameters<typeof roleFinding>[1];
  const own = await roleFinding(input.name, form);
  // Without a password of the gateway's own, that nobody else needs one either is what the server was told.
  return form.password === undefined ? [there, own] : [there, own, await openFinding(input.name, form)];
}

/**
 * Whether targets can be reached from where this runs, which is meant to be where agents run: there each should be reached
 * through the gateway alone. What the configuration says of credentials need not be here.
 */
export async function aroundFindings({ targets, vault }: Config): Promise<Finding[]> {
  const opened = await openTargets({ targets, vault, log: pino({ level: 'silent' }) });
  try {
    const found = targets.flatMap(({ input }) => opened.find(input.protocol, input.name) ?? []);
    return await Promise.all(found.map((target) => around(target)));
  } finally {
    opened.close();
  }
}

async function around({ input, upstream }: Target): Promise<Finding> {
  const check = `around ${input.name}`;
  const place = placeOfUpstream(input.protocol, upstream);
  if (place === undefined) return warn(check, 'where it is cannot be told from here', 'Give this the files and variables that its upstream names.'); // prettier-ignore
  const where = `${place.host}:${place.port}`;
  return reach(place.host, place.port).then(
    () =>
      warn(
        check,
        `${where} can be reached from here, around the gateway`,
        `Let it accept connections of the gateway alone: a firewall or network policy on ${where}${input.protocol === 'postgres' ? ', and in pg_hba.conf the address of the gateway' : ''}.`,
      ),
    () => ok(check, `${where} cannot be reached from here`),
  );
}

function placeOfUpstream(protocol: string, upstream: unknown): { host: string; port: number } | undefined {
  const { host, port, url, kubeconfig } = (upstream ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof url === 'string') return placeOf(url);
  if (typeof kubeconfig === 'string') {
    const server = /^\s*server:\s*["']?(https?:\/\/[^\s"']+)/mu.exec(kubeconfig)?.[1];
    return server === undefined ? undefined : placeOf(server);
  }
  if (typeof host !== 'string') return undefined;
  return { host, port: typeof port === 'number' ? port : (ports[protocol] ?? 443) };
}
