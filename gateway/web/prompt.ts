import type { Prompt } from '../protocol.js';

/** What a request says of the prompt behind it: X-Sallyport-Prompt, and traceparent (W3C Trace Context). */
export function promptOf(fields: ReadonlyMap<string, string>): Prompt | undefined {
  const id = /^[\w.:-]{1,64}$/.exec(fields.get('x-sallyport-prompt') ?? '')?.[0];
  const trace = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(fields.get('traceparent') ?? '')?.[0];
  if (id === undefined && trace === undefined) return undefined;
  return { ...(id === undefined ? {} : { id }), ...(trace === undefined ? {} : { trace }) };
}
