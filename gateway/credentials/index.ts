import type { Logger } from 'pino';
import type { ConfiguredTarget, UpstreamReference, VaultConfig } from '../config/index.js';
import type { Target } from '../protocol.js';
import { commandPlace } from './command.js';
import { filePlace } from './file.js';
import { Keeper } from './keeper.js';
import type { Place } from './place.js';
import { LiveTarget, type Kept } from './target.js';
import { openVault, type Vault } from './vault/index.js';

/** Targets with their newest credentials: docs/decisions/0013-refreshing-credentials.md says how, and why so. */
export interface Targets {
  find(protocol: string, name: string): Target | undefined;
  /** All of a protocol's, in the configuration's order. */
  all(protocol: string): readonly Target[];
  /** What fails, for whoever watches the process: a line for each target. */
  warnings(): readonly string[];
  close(): void;
}

export interface TargetsOptions {
  readonly targets: readonly ConfiguredTarget[];
  readonly vault?: VaultConfig | undefined;
  readonly log: Logger;
  readonly now?: () => number;
}

/** Resolves when every place was asked once; what could not be had is logged with its line, and asked for again. */
export async function openTargets({ targets, vault, log, now = Date.now }: TargetsOptions): Promise<Targets> {
  const asked = vault === undefined ? undefined : openVault(vault, { log, now });
  const keepers = new Map<string, Keeper>();
  /** One for all who refer to the same: a user and a password of one lease belong together. */
  const keeperOf = (to: UpstreamReference['to']): Keeper => {
    const key = placeKey(to);
    let keeper = keepers.get(key);
    if (keeper === undefined) keepers.set(key, (keeper = new Keeper(placeOf(to, asked), { log, now })));
    return keeper;
  };
  const found = new Map<string, Target>();
  const live: LiveTarget[] = [];
  const kept: Kept[] = [];
  for (const target of targets) {
    let opened: Target = target;
    if (target.form !== undefined) {
      const own = target.form.references.map((reference) => ({
        reference,
        keeper: keeperOf(reference.to),
        field: reference.to.kind === 'vault' ? reference.to.field : '',
      }));
      kept.push(...own);
      const renewing = new LiveTarget(target, target.form, own, log);
      live.push(renewing);
      opened = renewing;
    }
    found.set(`${target.input.protocol}/${target.input.name}`, opened);
  }
  await Promise.all([...keepers.values()].map((keeper) => keeper.start()));
  for (const { reference, keeper } of kept) {
    if (keeper.problem !== undefined)
      log.error({ where: reference.where, why: keeper.problem }, 'a credential is missing');
  }
  return {
    find: (protocol, name) => found.get(`${protocol}/${name}`),
    all: (protocol) => [...found.values()].filter(({ input }) => input.protocol === protocol),
    warnings: () =>
      live.flatMap(({ input, problem }) => (problem === undefined ? [] : [`credentials of target ${input.name}`])),
    close() {
      for (const keeper of keepers.values()) keeper.close();
      asked?.close();
    },
  };
}

function placeKey(to: UpstreamReference['to']): string {
  if (to.kind !== 'vault') return JSON.stringify(to);
  const { field: _, ...path } = to;
  return JSON.stringify(path);
}

function placeOf(to: UpstreamReference['to'], vault: Vault | undefined): Place {
  switch (to.kind) {
    case 'file':
      return filePlace(to.file);
    case 'command':
      return commandPlace(to);
    case 'vault':
      // The configuration is refused where a target asks for one that is not there.
      if (vault === undefined) throw new Error('no Vault is configured');
      return vault.place(to);
  }
}
