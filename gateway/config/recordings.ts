import Type from 'typebox';
import type { RecordingsConfig } from './config.js';
import { duration, durationPattern, size, sizePattern } from './duration.js';
import { absolute } from './references.js';
import { choice, closed } from './schema-parts.js';

/** `recordings`: where screens are kept, and how much of them. */

const bytes = (description: string, byDefault?: string) =>
  Type.String({
    pattern: sizePattern,
    ...(byDefault !== undefined && { default: byDefault }),
    description,
    'x-problem': 'is no size; write 512KiB, 256MiB or 10GiB',
  });

const size_default = '256MiB';
const total_default = '10GiB';
/** So many can fill the folder together, and no fewer. */
const principal_share = 4;
const input_default = '64KiB';

export const RecordingsSchema = Type.Object(
  {
    folder: Type.String({ minLength: 1, description: 'One file for each; made with mode 0700 where it is not there.' }),
    retention: Type.Optional(
      Type.String({
        pattern: durationPattern,
        description: 'Recordings that ended longer ago are removed. Absent: nothing is removed.',
        'x-problem': 'is no duration; write 30d, 90d or 365d',
      }),
    ),
    size: Type.Optional(bytes('Of one recording, or copy.', size_default)),
    total: Type.Optional(bytes('Of all of them together.', total_default)),
    principal: Type.Optional(
      bytes('Of all of one principal, so that nobody takes the room of others. Absent: a quarter of total.'),
    ),
    input: Type.Optional(
      bytes('How much is kept of input that is not echoed, where it is kept at all.', input_default),
    ),
    fail: Type.Optional({
      ...choice(['closed', 'open'], 'What becomes of an operation that can not, or no longer, be recorded.'),
      default: 'closed',
    }),
  },
  {
    ...closed,
    description:
      'Terminals and commands over SSH, recorded as asciicast, and copies of what is transferred where policy asks for them. Absent: nothing is recorded but what the audit has.',
  },
);

export type RecordingsInput = Type.Static<typeof RecordingsSchema>;

export function readRecordings(input: RecordingsInput | undefined, directory: string): RecordingsConfig | undefined {
  if (input === undefined) return undefined;
  const { folder, retention } = input;
  const total_bytes = size(input.total ?? total_default)!;
  return {
    folder: absolute(directory, folder),
    ...(retention === undefined ? {} : { retention_ms: duration(retention)! }),
    bytes_max: size(input.size ?? size_default)!,
    total_bytes_max: total_bytes,
    principal_bytes_max:
      input.principal === undefined ? Math.floor(total_bytes / principal_share) : size(input.principal)!,
    input_bytes_max: size(input.input ?? input_default)!,
    fail: input.fail ?? 'closed',
  };
}
