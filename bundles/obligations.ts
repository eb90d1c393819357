import { maskFunctions, maskParameters, parametersProblem, type MaskFunction } from '#engine';
import type { Element, Rule } from './ast.js';
import type { Problem } from './error.js';
import { nearest } from './nearest.js';

/**
 * What can be known of masks, filters, approvals and limits before anything asks for them: whatever a rule writes out. What it computes
 * is looked at where it is answered.
 */

/**
 * A protocol's own look at a filter's predicate, which is in the target's language: what is wrong with it, undefined where nothing
 * is.
 */
export type FilterCheck = (where: string, resource: string | undefined) => Promise<string | undefined>;
export type FilterChecks = ReadonlyMap<string, FilterCheck>;

const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  allow: ['code', 'title', 'message'],
  deny: ['code', 'title', 'message'],
  mask: ['resource', 'with', 'scope', 'parameters', 'code'],
  filter: ['resource', 'where', 'code'],
  approval: ['code', 'groups', 'quorum', 'expires', 'reason', 'preview', 'in_transaction', 'grant', 'break_glass'],
  limit: ['rows', 'bytes', 'seconds', 'code'],
  preview: ['code'],
  keep: ['code'],
  taint: ['label', 'for', 'code'],
  cost: ['units', 'code'],
};
const required: Readonly<Record<string, readonly string[]>> = {
  mask: ['resource', 'with'],
  filter: ['resource', 'where'],
  approval: ['groups'],
  taint: ['label'],
  cost: ['units'],
};

type Say = (code: string, message: string, line: number, help: string) => void;

/** @param protocol The package's: what resources are called, and what a predicate is, differs between them. */
export async function verifyElement(
  rule: Rule,
  file: string,
  protocol: string,
  checks: FilterChecks,
): Promise<Problem[]> {
  const { element } = rule;
  if (element?.literal !== true) return [];
  const problems: Problem[] = [];
  const say: Say = (code, message, line, help) => problems.push({ code, message, file, line, help });
  verifyFields(rule, element, say);
  if (rule.name === 'mask') verifyMask(element, protocol, say);
  if (rule.name === 'filter') await verifyFilter(element, protocol, checks, say);
  return problems;
}

function verifyFields(rule: Rule, element: Element, say: Say): void {
  const known = fieldsOf[rule.name] ?? [];
  for (const [name, { line }] of element.fields) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    say(
      'unknown_field',
      `an element of ${rule.name} has no field "${name}"${near === undefined ? '' : `: did you mean "${near}"?`}`,
      line,
      `It would be refused whenever the rule answers. Known are ${known.join(', ')}.`,
    );
  }
  for (const name of required[rule.name] ?? []) {
    if (element.fields.has(name)) continue;
    say(
      'missing_field',
      `an element of ${rule.name} needs "${name}"`,
      element.line,
      'It would be refused whenever the rule answers.',
    );
  }
}

function verifyMask({ fields }: Element, protocol: string, say: Say): void {
  const resource = fields.get('resource');
  const everything = resource?.constant === '*';
  if (everything) verifyPattern(fields, say);
  else if (protocol === 'postgres') verifyResource(resource, ['schema', 'relation', 'column'], say);
  const given = fields.get('with');
  const name = given?.constant;
  const known = (maskFunctions as readonly unknown[]).includes(name);
  if (given !== undefined && name !== undefined && name !== 'none' && !known) {
    const near = typeof name === 'string' ? nearest(name, maskFunctions) : undefined;
    say(
      'unknown_mask',
      `${JSON.stringify(name)} is no mask function${near === undefined ? '' : `: did you mean "${near}"?`}`,
      given.line,
      `Known are ${maskFunctions.join(', ')}.`,
    );
  }
  const scope = fields.get('scope');
  if (scope?.constant !== undefined && scope.constant !== 'source' && scope.constant !== 'output')
    say(
      'bad_scope',
      `${JSON.stringify(scope.constant)} is no scope`,
      scope.line,
      'It is "source" (the default) or "output".',
    );
  verifyParameters(fields.get('parameters'), known ? (name as MaskFunction) : undefined, say);
}

/** A mask on whatever is returned: it is looked for on the way out, so that only patterns fit, and no scope can be promised. */
function verifyPattern(fields: Element['fields'], say: Say): void {
  const name = fields.get('with');
  if (name?.constant !== undefined && name.constant !== 'pattern')
    say(
      'bad_resource',
      `${JSON.stringify(name.constant)} does not fit the resource "*"`,
      name.line,
      'Only "pattern" masks whatever is returned; every other function needs a column, like app.customers.email.',
    );
  const scope = fields.get('scope');
  if (scope?.constant === 'source')
    say(
      'bad_scope',
      'a mask on "*" has no scope "source"',
      scope.line,
      'It is applied to what is returned. Leave the scope out.',
    );
}

function verifyParameters(
  field: { constant?: unknown; line: number } | undefined,
  name: MaskFunction | undefined,
  say: Say,
): void {
  const parameters = field?.constant;
  if (field === undefined || parameters === undefined) return;
  const record = typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters);
  const wrong = !record
    ? '"parameters" is not an object'
    : name === undefined
      ? Object.keys(parameters)
          .filter((key) => !maskFunctions.some((each) => maskParameters(each).includes(key)))
          .map((key) => `no mask function has a parameter "${key}"`)[0]
      : parametersProblem(name, parameters as Record<string, unknown>);
  if (wrong !== undefined)
    say('bad_parameters', wrong, field.line, 'Masked columns would be refused whenever the rule answers.');
}

async function verifyFilter({ fields }: Element, protocol: string, checks: FilterChecks, say: Say): Promise<void> {
  const resource = fields.get('resource');
  if (protocol === 'postgres') verifyResource(resource, ['schema', 'relation'], say);
  const where = fields.get('where');
  if (where?.constant === undefined) return;
  if (typeof where.constant !== 'string') {
    say('filter_invalid', '"where" is not text', where.line, 'Write the predicate as a string.');
    return;
  }
  const name = typeof resource?.constant === 'string' ? resource.constant : undefined;
  const wrong = await checks.get(protocol)?.(where.constant, name);
  if (wrong !== undefined)
    say(
      'filter_invalid',
      wrong,
      where.line,
      'A filter is one condition over the columns of its own relation, such as "region = \'EU\'".',
    );
}

function verifyResource(
  field: { constant?: unknown; line: number } | undefined,
  parts: readonly string[],
  say: Say,
): void {
  const name = field?.constant;
  if (field === undefined || name === undefined) return;
  const form = parts.join('.');
  const fits = typeof name === 'string' && name.split('.').length === parts.length && name.split('.').every(isName);
  if (!fits)
    say(
      'bad_resource',
      `${JSON.stringify(name)} is not of the form ${form}`,
      field.line,
      `Nothing has that name, so that nothing would be ${parts.length === 3 ? 'masked' : 'filtered'}. Write it as the input document does, like ${parts.length === 3 ? 'app.customers.email' : 'app.customers'}.`,
    );
}

/** Names stand as they are in the catalog: unquoted. */
export const isName = (name: string): boolean => name !== '' && name.trim() === name && !/["*]/.test(name);
