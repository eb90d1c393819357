import Type from 'typebox';
import { durationPattern } from './duration.js';

/** What the schemas of the parts of sallyport.yaml have in common. */

export const closed = { additionalProperties: false } as const;
export const choice = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values], description });
export const text = (description: string) => Type.String({ minLength: 1, description });
export const duration = (description: string, byDefault?: string) =>
  Type.String({
    pattern: durationPattern,
    ...(byDefault === undefined ? {} : { default: byDefault }),
    description,
    'x-problem': 'is no duration; write 30s, 15m, 1h or 1h30m',
  });
