import { formattedModule } from '../../../bundles/index.js';
import { exit, type ExitCode } from '../exit.js';
import type { Surroundings } from '../surroundings.js';
import type { GatewayFlags } from './address.js';
import { ask } from './ask.js';
import type { ShownRequest } from './describe.js';
import { moduleOf, suggestionsFor } from './suggestions.js';

/** `sallyport approvals suggest`: Rego for what has always been approved, for a person to read and commit. It changes nothing. */

export interface SuggestFlags extends GatewayFlags {
  readonly atLeast: number;
}

/** What the API lists of one status: the latest. */
const listed_max = 200;
const statuses = ['approved', 'refused', 'expired', 'withdrawn'] as const;

export const suggest = (flags: SuggestFlags, around: Surroundings): Promise<ExitCode> =>
  ask(flags, around, async ({ api, tell }) => {
    const lists: ShownRequest[][] = [];
    for (const status of statuses) {
      const { approvals } = await api.get<{ approvals: ShownRequest[] }>(`/v1/approvals?status=${status}`);
      lists.push(approvals);
    }
    // Where a list was cut off, nothing is known of what is older: a refusal may be among it.
    const since_ms = Math.max(
      0,
      ...lists
        .filter((list) => list.length >= listed_max)
        .map((list) => Math.min(...list.map(({ asked_ms }) => asked_ms))),
    );
    const known = lists.flat().filter(({ asked_ms }) => asked_ms >= since_ms);
    const found = suggestionsFor(known, flags.atLeast);
    if (found.length === 0) {
      tell(
        { suggestions: [] },
        () => `Nothing was approved ${String(flags.atLeast)} times and never refused, of what you may see.\n`,
      );
      return exit.no;
    }
    const rego = await formattedModule(moduleOf(found), {
      env: around.env,
      progress: (message) => void around.stderr.write(`sallyport: ${message}\n`),
    });
    const suggestions = found.map(({ example, ...rest }) => ({ ...rest, example: example.id }));
    tell({ suggestions, rego }, () => rego);
    return exit.done;
  });
