import { afterAll, describe, expect, test } from '@jest/globals';
import { cleanUp, compiler, goodPolicy, snapshotOf, type Files } from '../test/bundles/support.js';
import { readCoverage } from './advice.js';

afterAll(cleanUp);

/** It lets anybody read. */
const wide = 'wide_allow postgres.rego:6';
/** And has no rule for whoever wants more. */
const open = 'uncovered postgres.rego:6';

async function adviceOn(files: Files): Promise<string[]> {
  const snapshot = snapshotOf(files);
  const builder = await compiler();
  const { layer } = await builder.check(snapshot);
  return (await builder.advise(snapshot, layer)).map(({ code, file, line }) => `${code} ${file ?? ''}:${String(line)}`);
}

const tests = (text: string) => `package policy.postgres_test\n\nimport data.policy.postgres\n\n${text}\n`;

describe('advice', () => {
  test('names rules that no test makes answer, and no others', async () => {
    expect(await adviceOn(goodPolicy)).toEqual([open, wide, 'rule_untested postgres.rego:10']);
    const whole = {
      ...goodPolicy,
      'more_test.rego': tests(`test_secrets if {
	count(postgres.deny) == 1 with input as {"operation": {"action": "read", "resources": [{"name": "app.secrets"}]}}
}`),
    };
    expect(await adviceOn(whole)).toEqual([open, wide]);
  });

  test('names answers without a code, and patterns that have nothing to match', async () => {
    const files = {
      'x.rego': `package policy.postgres

allow contains {"message": "whatever"} if input.target.name == "orders"

# METADATA
# custom: {code: filled_in}
allow contains {"message": "reads"} if input.operation.action == "read"

deny contains {"code": "d"} if {
	regex.match("^secret", input.target.name)
	glob.match("plain", [], input.target.name)
	# regex.match("plain", "comment")
	regex.match("a.c", input.target.name)
	glob.match("app.*", ["."], input.target.name)
}
`,
      'x_test.rego': tests(`test_all if {
	count(postgres.allow) == 2 with input as {"target": {"name": "orders"}, "operation": {"action": "read"}}
	postgres.deny with input as {"target": {"name": "orders"}}
}`),
    };
    expect(await adviceOn(files)).toEqual([
      'reason_without_code x.rego:3',
      'uncovered x.rego:3',
      'wide_allow x.rego:3',
      'wide_allow x.rego:7',
      'rule_untested x.rego:9',
      'slow_pattern x.rego:10',
      'slow_pattern x.rego:11',
      'slow_pattern x.rego:13',
      'slow_pattern x.rego:14',
    ]);
  });

  test('says nothing of tests where one fails: that is for "sallyport test"', async () => {
    expect(await adviceOn({ ...goodPolicy, 'x_test.rego': 'package x_test\n\ntest_x if 1 == 2\n' })).toEqual([
      open,
      wide,
    ]);
    expect(readCoverage('data.x.test_x: FAIL')).toBeUndefined();
  });
});
