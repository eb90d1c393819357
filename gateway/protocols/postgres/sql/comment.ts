/**
 * What a text says of its prompt in a comment at its end or start, after sqlcommenter:
 * `select 1 / *traceparent='00-…-01',sallyport_prompt='p-17'* /`. Values are URL-encoded and quoted. Claims, no proof.
 */

/** Longer comments and values are not looked at. */
export const comment_bytes_max = 4096;

const block = /\/\*((?:[^*]|\*(?!\/))*)\*\//y;

export function comment(text: string): { readonly trace?: string; readonly prompt?: string } | undefined {
  if (!text.includes('/*')) return undefined;
  const inner = trailing(text) ?? leading(text);
  if (inner === undefined || inner.length > comment_bytes_max) return undefined;
  let trace: string | undefined;
  let prompt: string | undefined;
  for (const [, key, value] of inner.matchAll(/([A-Za-z0-9_.%-]+)\s*=\s*'((?:[^'\\]|\\.)*)'/g)) {
    const decoded = decode((value ?? '').replace(/\\'/g, "'"));
    if (key === 'traceparent' && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(decoded)) trace = decoded;
    if (key === 'sallyport_prompt' || key === 'prompt') prompt = decoded;
  }
  if (trace === undefined && prompt === undefined) return undefined;
  return { ...(trace === undefined ? {} : { trace }), ...(prompt === undefined ? {} : { prompt }) };
}

function trailing(text: string): string | undefined {
  const end = text.replace(/[\s;]+$/, '');
  if (!end.endsWith('*/')) return undefined;
  const start = end.lastIndexOf('/*');
  return start < 0 ? undefined : end.slice(start + 2, -2);
}

function leading(text: string): string | undefined {
  const start = text.search(/\S/);
  if (start < 0) return undefined;
  block.lastIndex = start;
  return block.exec(text)?.[1];
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
