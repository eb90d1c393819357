/** A token that somebody hands out for a while (RFC 6749, 5.1): it is given to others until shortly before it expires. */
export interface FetchedToken {
  readonly token: string;
  readonly until_ms: number;
}

export interface FetchedTokenOptions {
  /** What the member is called: the first that is there. */
  readonly names: readonly string[];
  readonly asked_ms: number;
  /** Where the answer says nothing of it. */
  readonly lifetime_seconds_default: number;
  /** Before it expires: what is on its way then arrives in time. Of a short one, half. */
  readonly early_ms: number;
}

const lifetime_seconds_max = 86_400;

/** Undefined where there is none in the answer, or it is not JSON. The type is what the answer says of it, in small letters. */
export function fetchedToken(
  text: string,
  { names, asked_ms, lifetime_seconds_default, early_ms }: FetchedTokenOptions,
): (FetchedToken & { readonly type: string | undefined }) | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = undefined;
  }
  const said = (answer ?? {}) as Readonly<Record<string, unknown>>;
  const token = names.map((name) => said[name]).find((value) => value !== undefined && value !== null);
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) return undefined;
  // Azure's metadata service writes it as a text.
  const given = Number(said['expires_in'] ?? lifetime_seconds_default);
  const lifetime_ms = Math.min(Math.max(Number.isFinite(given) ? given : lifetime_seconds_default, 0), lifetime_seconds_max) * 1_000; // prettier-ignore
  const type = said['token_type'];
  return {
    token,
    until_ms: asked_ms + Math.max(lifetime_ms - early_ms, lifetime_ms / 2),
    type: typeof type === 'string' ? type.toLowerCase() : undefined,
  };
}
