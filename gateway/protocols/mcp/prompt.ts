import type { Prompt } from '../../protocol.js';
import { promptOf } from '../../web/index.js';
import { isObject, type JsonObject } from './methods.js';

const text_chars_max = 32_768;

/**
 * What a message says of the prompt behind it: `_meta["sallyport/prompt"]`, an id or {"id", "text"}, and `_meta.traceparent`; else what the
 * request's fields say.
 */
export function promptFrom(meta: JsonObject, fields: ReadonlyMap<string, string>): Prompt | undefined {
  const said = meta['sallyport/prompt'];
  const { id, text } = isObject(said) ? said : { id: said, text: undefined };
  const { traceparent } = meta;
  const own = promptOf(
    new Map([
      ...(typeof id === 'string' ? [['x-sallyport-prompt', id] as const] : []),
      ...(typeof traceparent === 'string' ? [['traceparent', traceparent] as const] : []),
    ]),
  );
  const words = typeof text === 'string' && text !== '' ? { text: text.slice(0, text_chars_max) } : {};
  const all = { ...promptOf(fields), ...own, ...words };
  return Object.keys(all).length === 0 ? undefined : all;
}
