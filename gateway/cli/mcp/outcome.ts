/** What an operation came to, in the words that an agent can act on. */
export type Json = Readonly<Record<string, unknown>>;

export interface Refusal {
  /** "denied", "approval_pending", "upstream", a SQLSTATE, … */
  readonly code: string;
  readonly message: string;
  readonly decision?: string | undefined;
  readonly reasons?: unknown;
  /** What can be done about it. */
  readonly next?: string | undefined;
  readonly [more: string]: unknown;
}

export type Outcome = { readonly value: Json } | { readonly refusal: Refusal };

/** As tools answer (MCP 2025-06-18, server/tools). */
export interface ToolResult {
  readonly content: readonly { readonly type: 'text'; readonly text: string }[];
  readonly structuredContent: Json;
  readonly isError?: true;
}

export function resultOf(outcome: Outcome): ToolResult {
  if ('value' in outcome) {
    const { value } = outcome;
    return { content: [{ type: 'text', text: JSON.stringify(value) }], structuredContent: value };
  }
  const { refusal } = outcome;
  const { decision, next, message } = refusal;
  const explained =
    decision === undefined
      ? []
      : [
          `Decision ${decision}: the tool explain tells which rule it was, what_would_i_need what would have to differ.`,
        ];
  const lines = [message, ...(next === undefined ? [] : [next]), ...explained];
  return {
    content: [{ type: 'text', text: lines.join('\n') }],
    structuredContent: { sallyport: refusal },
    isError: true,
  };
}

export const refused = (code: string, message: string, more: Json = {}): Outcome => ({
  refusal: { code, message, ...more },
});

/** Of a refusal that came as JSON: what stands in it under names that are known. */
export function detailsOf(text: string | undefined): Json {
  try {
    const { decision, reasons, outcome, revision, hold, next } = JSON.parse(text ?? '') as Json;
    return {
      ...(typeof decision === 'string' ? { decision } : {}),
      ...(Array.isArray(reasons) ? { reasons } : {}),
      ...(typeof outcome === 'string' ? { outcome } : {}),
      ...(typeof revision === 'string' ? { revision } : {}),
      ...(typeof hold === 'object' && hold !== null ? { hold } : {}),
      ...(typeof next === 'string' ? { next } : {}),
    };
  } catch {
    return {};
  }
}
