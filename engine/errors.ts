/**
 * A policy that cannot be used: what is wrong with it, in which layer, and what to do. Thrown by `Engine.prepare` alone;
 * once a revision is in force, whatever goes wrong is a deny.
 */
export class PolicyLoadError extends Error {
  readonly code = 'policy';
  /** The name of the layer that cannot be used. */
  readonly layer: string;

  constructor(layer: string, message: string, options?: { cause?: unknown }) {
    super(`Layer "${layer}": ${message}`, options);
    this.name = 'PolicyLoadError';
    this.layer = layer;
  }
}

/** The bytes are not the WebAssembly that `opa build` makes. */
export class WasmFormatError extends Error {
  constructor(message: string, offset_bytes: number) {
    super(`${message} (at byte ${String(offset_bytes)} of policy.wasm). Build the policy again with a supported OPA.`);
    this.name = 'WasmFormatError';
  }
}

/** A built-in of the host was given, or made, more than one may. */
export class HostLimitError extends Error {}

/** What is thrown, as text: the runtime of Rego throws strings and plain objects as well as errors. */
export function thrownText(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  if (typeof thrown === 'string') return thrown;
  if (typeof thrown === 'object' && thrown !== null && 'message' in thrown) return String(thrown.message);
  return String(thrown);
}
