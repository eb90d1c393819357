import { suppliedBuiltins } from './host.js';

/**
 * Which of Rego's built-ins a policy may call. A data file: `bundles/` makes from it the capabilities that check, test and
 * build run with, so that a policy cannot pass its tests on a function that the engine does not have.
 */

/** OPA's WebAssembly backend compiles these into the policy itself: they ask nothing of the host. OPA 1.22,
    without those that Rego v1 no longer lets anybody call. */
export const nativeBuiltins: readonly string[] = [
  'abs', 'and', 'array.concat', 'array.flatten', 'array.reverse', 'array.slice', 'base64.decode',
  'base64.encode', 'base64.is_valid', 'base64url.decode', 'base64url.encode', 'bits.and', 'bits.lsh', 'bits.negate',
  'bits.or', 'bits.rsh', 'bits.xor', 'ceil', 'concat', 'contains', 'count', 'div', 'endswith', 'equal', 'floor',
  'format_int', 'glob.match', 'graph.reachable', 'gt', 'gte', 'indexof', 'internal.member_2', 'internal.member_3',
  'internal.template_string', 'intersection', 'is_array', 'is_boolean', 'is_null', 'is_number', 'is_object',
  'is_set', 'is_string', 'json.filter', 'json.is_valid', 'json.marshal', 'json.remove', 'json.unmarshal', 'lower',
  'lt', 'lte', 'max', 'min', 'minus', 'mul', 'neq', 'net.cidr_contains', 'net.cidr_intersects',
  'numbers.range', 'object.filter', 'object.get', 'object.keys', 'object.remove', 'object.union', 'object.union_n',
  'or', 'plus', 'product', 'regex.find_all_string_submatch_n', 'regex.is_valid', 'regex.match', 'rem',
  'replace', 'round', 'sort', 'split', 'startswith', 'strings.replace_n', 'strings.reverse', 'substring',
  'sum', 'to_number', 'trim', 'trim_left', 'trim_prefix', 'trim_right', 'trim_space', 'trim_suffix', 'type_name',
  'union', 'upper', 'walk',
]; // prettier-ignore

/** OPA's compiler resolves or erases these itself: nothing of them is left in the WebAssembly. */
export const compiledAwayBuiltins: readonly string[] = [
  'assign', 'eq', 'internal.print', 'internal.test_case', 'print', 'rego.metadata.chain', 'rego.metadata.rule',
]; // prettier-ignore

export { suppliedBuiltins };

/** All of them: the names for OPA's capabilities file. */
export const engineCapabilities: readonly string[] = [
  ...nativeBuiltins,
  ...compiledAwayBuiltins,
  ...suppliedBuiltins,
].sort();
