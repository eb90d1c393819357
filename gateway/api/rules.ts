import type { RuleDescription } from '#engine';
import type { PolicyStatus } from '../../bundles/index.js';

/** A rule as people are shown it: with the address of its line, where the configuration says how to make one. */
export type LinkedRule = RuleDescription & { readonly link?: string };

/** Fills `console.policy_link` in: {commit}, {file} and {line}. Without a commit there is nothing to point at. */
export function linked(
  rules: readonly RuleDescription[],
  template: string | undefined,
  { commit }: PolicyStatus,
): readonly LinkedRule[] {
  if (template === undefined || commit === undefined) return rules;
  return rules.map((rule) => {
    // The base stands in another repository than the one that the configuration points at.
    if (rule.layer !== undefined) return rule;
    const values: Readonly<Record<string, string>> = {
      commit: encodeURIComponent(commit.hash),
      file: rule.file.split('/').map(encodeURIComponent).join('/'),
      line: String(rule.line),
    };
    return { ...rule, link: template.replace(/\{(commit|file|line)\}/gu, (_, name: string) => values[name] ?? '') };
  });
}
