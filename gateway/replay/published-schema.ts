import { changeKinds, publishedLimits } from './published.js';

/** What a published report has to be, as a JSON schema: whatever else it has is refused, not stored. */

const { text_chars_max, texts_max, groups_max } = publishedLimits;
const text = { type: 'string', maxLength: text_chars_max };
const texts = { type: 'array', maxItems: texts_max, items: text };
const count = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };

/** An object with all of these, and nothing else but what may be missing. */
const closed = (properties: Readonly<Record<string, object>>, optional: readonly string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
});

const kind = { type: 'string', enum: [...changeKinds] };
const group = closed({ kind, rule: text, on: text, principal: text, target: text, count, example: text }, ['on']);

const tally = closed({
  ...{
    operations: count,
    changed: count,
    erased: count,
    unlike_recorded: count,
    upon_base: count,
    unmeasured: count,
    unproven: count,
  },
  groups: { type: 'array', maxItems: groups_max, items: group },
  beyond: closed(Object.fromEntries(changeKinds.map((name) => [name, count])), changeKinds),
});

export const publishedSchema = closed(
  {
    format: { type: 'integer', const: 1 },
    ...{ from: text, to: text, before: text, after: text },
    beside: closed({ role: { type: 'string', enum: ['base', 'team'] }, revision: text, from: text }),
    tally,
    ...{ meant: texts, unseen: texts, duration_ms: count },
    shortened: closed({ groups: count, texts: count }),
  },
  ['beside'],
);
