/** sallyport.yaml: read, checked whole, and turned into what the gateway is built from. */
export { loadConfig } from './load.js';
export { guardUpstream, printable } from './printable.js';
export { readValue } from './references.js';
export { configSchema, publishedSchema } from './schema.js';
export { duration } from './duration.js';
export { readPeople, type People, type Person } from './people.js';
export type { Answers, Webhook } from './webhooks.js';
export { hookEvents, type HookEvent } from './webhooks-schema.js';
export {
  principalKinds,
  signatureAlgorithms,
  type AuditConfig,
  type CanaryConfig,
  type Claims,
  type Config,
  type ConfiguredTarget,
  type ConsoleConfig,
  type DirectoryConfig,
  type Durability,
  type IdentityConfig,
  type LoginConfig,
  type PolicyConfig,
  type PolicySource,
  type StatusConfig,
  type PrincipalKind,
  type Provider,
  type RecordingsConfig,
  type RemoteSink,
  type MtlsConfig,
  type SamlProvider,
  type SignInConfig,
  type SignatureAlgorithm,
  type UpstreamForm,
  type UpstreamReference,
  type VaultConfig,
  type VaultText,
} from './config.js';
