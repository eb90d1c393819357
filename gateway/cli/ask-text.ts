import type { Decision, Input, RuleDescription } from '#engine';
import type { Search } from '../asking/index.js';
import { printable } from './printable.js';

export interface Answered {
  readonly revision: string;
  readonly decision: Decision;
  /** Those that answered. */
  readonly rules: readonly RuleDescription[];
  /** Of what is not simply allowed. */
  readonly search: Search | undefined;
  readonly input: Input;
}

const label = (name: string, text: string): string => `${name.padEnd(12)}${text}`;

/** The answer to a question, as a person wants to read it; ends with a newline. */
export function answerText({ revision, decision, rules, search, input }: Answered): string {
  const { principal, target, operation } = input;
  const place = (code: string) => {
    const rule = rules.find((one) => one.code === code);
    return rule === undefined ? '' : `  ${rule.file}:${rule.line}`;
  };
  const { masks, filters, approvals, limits } = decision;
  const lines = [
    label('answer', decision.outcome),
    label('who', `${principal.subject}${principal.purpose === undefined ? '' : ` for ${principal.purpose}`}`),
    label('target', `${target.name} (${target.protocol})`),
    label('touches', operation.resources.map(({ access, type, name }) => `${access} ${type} ${name}`).join(', ')),
    ...decision.reasons.map(({ code, title, message }) =>
      label(
        'because',
        `${code}${title === undefined ? '' : ` ${title}`}${message === undefined ? '' : `: ${message}`}${place(code)}`,
      ),
    ),
    ...masks.map((mask) => label('mask', `${mask.resource} with ${mask.with}${place(mask.code)}`)),
    ...filters.map((filter) => label('filter', `${filter.resource} where ${filter.where}${place(filter.code)}`)),
    ...approvals.map((one) => label('approval', `${one.quorum} of ${one.groups.join(', ')}${place(one.code)}`)),
    ...Object.entries(limits).map(([name, most]) => label('limit', `${name} ${String(most)}`)),
    label('revision', revision),
    ...differingLines(search),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

function differingLines(search: Search | undefined): string[] {
  if (search === undefined) return [];
  const { differences, tried, complete } = search;
  if (differences.length === 0)
    return [label('otherwise', `no other purpose, group, role, kind or target that the policy names allows it (${tried} tried${complete ? '' : ', not all'})`)]; // prettier-ignore
  return differences.map(({ change, outcome, codes }, index) => {
    const words = Object.entries(change).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
    return label(index === 0 ? 'otherwise' : '', `${outcome} with ${words.join(' and ')}  (${codes.join(', ')})`);
  });
}
