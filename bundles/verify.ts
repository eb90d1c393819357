import { setNames, type RuleDescription } from '#engine';
import type { Module, Rule } from './ast.js';
import type { Problem } from './error.js';
import { nearest } from './nearest.js';
import { verifyElement, type FilterChecks } from './obligations.js';

/**
 * The contract that `opa check --strict` cannot know: which packages and rules mean something to Sallyport. A rule that
 * is misspelt or has the wrong shape compiles, passes, and silently denies nothing; here it is refused.
 */

/** The packages under `policy` that Sallyport asks. */
export const knownPackages = ['all', 'postgres', 'ssh', 'kubernetes', 'http', 'registry', 'mcp'] as const;

/** The rules that it asks them for, each a set that grows with `contains`. */
export const contractSets = setNames;

const isContractSet = (name: string): boolean => (contractSets as readonly string[]).includes(name);
const isTestRule = (name: string): boolean => /^(todo_)?test_/.test(name);

/** Tests are stripped before the build: files named `*_test.rego`, and packages whose name ends so. */
export const isTestModule = (module: Pick<Module, 'file' | 'package'>): boolean =>
  module.file.endsWith('_test.rego') || module.package.endsWith('_test');

/** The contract package that a package is ("postgres"), or undefined. */
export function contractPackage(name: string): string | undefined {
  const rest = name.startsWith('policy.') ? name.slice('policy.'.length) : undefined;
  return (knownPackages as readonly string[]).find((known) => known === rest);
}

export async function verifyModules(modules: readonly Module[], checks: FilterChecks = new Map()): Promise<Problem[]> {
  // What only a test refers to is not in use: a misspelt rule is misspelt in its test as well.
  const used = new Set(modules.filter((module) => !isTestModule(module)).flatMap((module) => [...module.uses]));
  const found = modules.map(async (module) => {
    const known = contractPackage(module.package);
    if (known === undefined) return verifyPackageName(module);
    const rules = module.rules.map(async (rule) => [
      ...verifyRule(rule, module, used),
      ...(isContractSet(rule.name) && !isTestModule(module)
        ? await verifyElement(rule, module.file, known, checks)
        : []),
    ]);
    return (await Promise.all(rules)).flat();
  });
  return (await Promise.all(found)).flat();
}

function verifyPackageName(module: Module): Problem[] {
  const place = { file: module.file, line: module.packageLine };
  const [first, second] = module.package.split('.');
  if (first === 'sallyport') {
    return [
      {
        code: 'reserved_package',
        message: `package ${module.package} is Sallyport's own`,
        help: 'Choose another name; import data.sallyport.… to use its helpers.',
        ...place,
      },
    ];
  }
  if (first !== 'policy' || module.package.endsWith('_test')) return [];
  const known = knownPackages.map((name) => `policy.${name}`).join(', ');
  const near = nearest(second ?? '', knownPackages);
  return [
    {
      code: 'unknown_package',
      message: `nothing asks package ${module.package}${near === undefined || near === second ? '' : ` (policy.${near}?)`}`,
      help: `Rules that decide belong into one of ${known}; helpers into a package that does not start with "policy".`,
      ...place,
    },
  ];
}

function verifyRule(rule: Rule, module: Module, used: ReadonlySet<string>): Problem[] {
  const place = { file: module.file, line: rule.line };
  if (isContractSet(rule.name)) {
    if (isTestModule(module)) {
      return [
        {
          code: 'contract_in_test',
          message: `${rule.name} stands in a test file, which is not part of what goes into force`,
          help: 'Move the rule into a file that is not a test.',
          ...place,
        },
      ];
    }
    if (rule.kind !== 'set') {
      return [
        {
          code: 'not_a_set',
          message: `${rule.name} must be a set that grows with "contains"; as it stands it would ${rule.name} nothing`,
          help: `Write: ${rule.name} contains {"code": "…"} if { … }`,
          ...place,
        },
      ];
    }
    if (rule.element !== undefined && rule.element.literal && rule.element.hasCode && rule.element.code === '') {
      return [
        {
          code: 'empty_code',
          message: `${rule.name} has an empty code`,
          help: 'A code names the rule: letters, digits, underscores.',
          ...place,
        },
      ];
    }
    return [];
  }
  if (
    isTestModule(module) ||
    rule.name.startsWith('_') ||
    isTestRule(rule.name) ||
    isUsed(`${module.package}.${rule.name}`, used)
  )
    return [];
  const near = nearest(rule.name, contractSets);
  return [
    {
      code: 'unknown_rule',
      message: `${rule.name} is no rule that Sallyport asks for, and no other rule uses it${near === undefined ? '' : `: did you mean ${near}?`}`,
      help: `Known are ${contractSets.join(', ')}. A helper that nothing uses yet may be named _${rule.name}.`,
      ...place,
    },
  ];
}

function isUsed(path: string, used: ReadonlySet<string>): boolean {
  if (used.has(path)) return true;
  for (const use of used) if (use.startsWith(`${path}.`)) return true;
  return false;
}

/** Where the rules stand, for reasons that name them. */
export function describeRules(modules: readonly Module[]): RuleDescription[] {
  return modules
    .filter((module) => !isTestModule(module) && contractPackage(module.package) !== undefined)
    .flatMap((module) =>
      module.rules
        .filter((rule) => isContractSet(rule.name) && rule.kind === 'set')
        .map((rule) => ({
          code: effectiveCode(rule, module.package),
          package: module.package,
          set: rule.name,
          ...(rule.title === undefined ? {} : { title: rule.title }),
          file: module.file,
          line: rule.line,
        })),
    );
}

/** The code that a rule's elements carry in force: its own, its METADATA's where that can be filled in, or its place. */
function effectiveCode(rule: Rule, inPackage: string): string {
  return rule.element?.code ?? rule.annotatedCode ?? `${inPackage}.${rule.name}`;
}

/** Things that are allowed, and worth a word. */
export function warnings(modules: readonly Module[]): Problem[] {
  const found: Problem[] = [];
  const seen = new Map<string, string>();
  for (const module of modules) {
    if (isTestModule(module) || contractPackage(module.package) === undefined) continue;
    for (const rule of module.rules) {
      const { element } = rule;
      if (!isContractSet(rule.name) || element === undefined) continue;
      const place = { file: module.file, line: rule.line };
      if (!element.literal && rule.annotatedCode !== undefined) {
        found.push({
          code: 'code_not_filled',
          message: `${rule.name} puts in a variable, so that its METADATA code cannot be filled in`,
          help: `Put "code": "${rule.annotatedCode}" into the object itself.`,
          ...place,
        });
      }
      if (element.code === undefined) continue;
      const owner = `${module.package}.${rule.name}`;
      const other = seen.get(element.code);
      if (other !== undefined && other !== owner) {
        found.push({
          code: 'code_twice',
          message: `code ${element.code} is also one of ${other}`,
          help: 'A code names one rule; choose another.',
          ...place,
        });
      }
      seen.set(element.code, owner);
    }
  }
  return found;
}

/**
 * Writes a rule's METADATA code into its element where the element is an object literal without one. Lines stay where
 * they are. Gives the text as it was where there is nothing to fill in.
 */
export function fillCodes(text: string, module: Module): string {
  return writeInto(text, module, ({ element, annotatedCode }) =>
    element.hasCode || annotatedCode === undefined ? undefined : `"code": ${JSON.stringify(annotatedCode)}`,
  );
}

/** Writes into each element that is a literal which rule it is of. */
export const markRules = (text: string, module: Module): string =>
  writeInto(text, module, ({ line }) => `"${mark}": ${JSON.stringify(`${module.file}:${line}`)}`);

/** The key that says so. */
export const mark = '__rule';

type WithElement = Rule & { readonly element: NonNullable<Rule['element']> };

function writeInto(text: string, module: Module, pairOf: (rule: WithElement) => string | undefined): string {
  if (contractPackage(module.package) === undefined) return text;
  const wanted = module.rules
    .filter((rule): rule is WithElement => isContractSet(rule.name) && rule.element?.literal === true)
    .flatMap((rule) => {
      const pair = pairOf(rule);
      return pair === undefined ? [] : [{ pair, element: rule.element }];
    });
  if (wanted.length === 0) return text;
  const lines = text.split('\n').map((line) => Buffer.from(line));
  // From the end, so that an insertion moves nothing that is still to be found.
  for (const { pair, element } of wanted.sort((a, b) => b.element.column - a.element.column)) {
    const line = lines[element.line - 1];
    const at = line === undefined ? -1 : openingBrace(line, element.column);
    if (line === undefined || at < 0) continue;
    const insertion = Buffer.from(`${pair}${element.empty ? '' : ', '}`);
    lines[element.line - 1] = Buffer.concat([line.subarray(0, at + 1), insertion, line.subarray(at + 1)]);
  }
  return lines.map((line) => line.toString('utf8')).join('\n');
}

/** OPA counts columns in characters in some versions and in bytes in others: whichever points at a brace. */
function openingBrace(line: Buffer, column: number): number {
  const inBytes = column - 1;
  if (line[inBytes] === 0x7b) return inBytes;
  const inCharacters = Buffer.byteLength([...line.toString('utf8')].slice(0, column - 1).join(''));
  return line[inCharacters] === 0x7b ? inCharacters : -1;
}
