/**
 * Built-ins that OPA has and a policy of the gateway must not call, each with what to write instead. A decision is made
 * of the input and the policy's data alone: what reaches beyond them, or what the engine could only imitate, is refused.
 */
const clock = 'The time of the operation is input.time: time.parse_rfc3339_ns(input.time) gives its nanoseconds.';
const network =
  'A decision asks nobody: put what the rule needs into the data of the policy repository, or into the claims of the token.';
const dice = 'Equal input must get an equal answer. For an identifier of the operation take input.operation.hash.';
const keys = 'A policy holds no private keys and issues nothing; the gateway keeps credentials by itself.';
const certificates =
  'Sign-in is checked before policy is asked: have the gateway put what you need of it into input.principal.attributes.';

const instead: Readonly<Record<string, string>> = {
  'crypto.parse_private_keys': keys,
  'crypto.x509.parse_and_verify_certificates': certificates,
  'crypto.x509.parse_and_verify_certificates_with_options': certificates,
  'crypto.x509.parse_certificate_request': certificates,
  'crypto.x509.parse_certificates': certificates,
  'crypto.x509.parse_keypair': keys,
  'crypto.x509.parse_rsa_private_key': keys,
  'graphql.is_valid': 'GraphQL comes to policy parsed, where a protocol knows it: see docs/policy.md for the input.',
  'graphql.parse': 'GraphQL comes to policy parsed, where a protocol knows it: see docs/policy.md for the input.',
  'graphql.parse_and_verify':
    'GraphQL comes to policy parsed, where a protocol knows it: see docs/policy.md for the input.',
  'graphql.parse_query': 'GraphQL comes to policy parsed, where a protocol knows it: see docs/policy.md for the input.',
  'graphql.parse_schema':
    'GraphQL comes to policy parsed, where a protocol knows it: see docs/policy.md for the input.',
  'graphql.schema_is_valid':
    'GraphQL comes to policy parsed, where a protocol knows it: see docs/policy.md for the input.',
  'http.send': network,
  'io.jwt.decode_verify':
    'It reads a clock. Take io.jwt.verify_rs256 (or that of your algorithm) and io.jwt.decode, and compare exp with time.parse_rfc3339_ns(input.time) / 1000000000.',
  'io.jwt.encode_sign': keys,
  'io.jwt.encode_sign_raw': keys,
  'json.match_schema':
    'The shape of the input is checked by its schema already; write conditions on the fields you mean.',
  'json.verify_schema':
    'The shape of the input is checked by its schema already; write conditions on the fields you mean.',
  'net.lookup_ip_addr': network,
  'opa.runtime': 'What the policy needs of its surroundings belongs into its data.',
  'providers.aws.sign_req': keys,
  'rand.intn': dice,
  'regex.globs_match': 'Compare with a set of names, or take glob.match for one pattern and one name.',
  'rego.parse_module': 'Policies are read by "sallyport check", not by policy.',
  'strings.render_template': 'Write sprintf("… %s …", [value]), or concat.',
  'time.now_ns': clock,
  'uuid.rfc4122': dice,
  'yaml.is_valid': 'Put the document into the repository as a .yaml file: it is data then.',
  'yaml.marshal': 'Write json.marshal.',
  'yaml.unmarshal': 'Put the document into the repository as a .yaml file: it is data then.',
};

/** Names of all that is refused on purpose. */
export const unsuppliedBuiltins: readonly string[] = Object.keys(instead);

/** What to do instead, for a message of the compiler about a function that it does not know. */
export function helpForFunction(message: string): string | undefined {
  const name = /(?:undefined|unknown) (?:function|built-?in) ([\w.]+)/.exec(message)?.[1];
  if (name === undefined) return undefined;
  if (Object.hasOwn(instead, name)) return `${name} is not offered. ${instead[name]!}`;
  return 'A function of your own that is not there, or a built-in that Sallyport does not offer: see docs/policy.md for those that it does.';
}
