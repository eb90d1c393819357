import Type from 'typebox';
import type { Bounds } from '../protocol.js';
import { duration as milliseconds } from './duration.js';
import { closed, duration } from './schema-parts.js';

/** How many connections a listener takes, and how long it waits for those who come slowly. What is left out is as usual there. */
export const BoundsSchema = Type.Object(
  {
    connections: Type.Optional(
      Type.Integer({
        ...{ minimum: 2, maximum: 100_000 },
        description: 'At once, of those who have signed in; nobody has more than half of them.',
      }),
    ),
    strangers: Type.Optional(
      Type.Integer({
        ...{ minimum: 1, maximum: 100_000 },
        description:
          'At once, on which nobody has signed in yet; where one more comes, the oldest of who has most gives way.',
      }),
    ),
    greeting: Type.Optional(duration('From a connection to a request, or to a session.')),
    request: Type.Optional(duration('For a request over HTTP to come whole, with its body.')),
    stalled: Type.Optional(duration('While a client takes nothing of what waits for it.')),
  },
  { ...closed, title: '{connections: …, strangers: …, greeting: …, request: …, stalled: …}' },
);

export function readBounds(input: Type.Static<typeof BoundsSchema>): Partial<Bounds> {
  const { connections, strangers, greeting, request, stalled } = input;
  // No timer holds more, and none of nothing.
  const time = (text: string) => Math.min(Math.max(milliseconds(text) ?? 0, 10), 2_147_483_647);
  return {
    ...(connections === undefined ? {} : { connections_max: connections }),
    ...(strangers === undefined ? {} : { strangers_max: strangers }),
    ...(greeting === undefined ? {} : { greeting_ms_max: time(greeting) }),
    ...(request === undefined ? {} : { request_ms_max: time(request) }),
    ...(stalled === undefined ? {} : { stalled_ms_max: time(stalled) }),
  };
}
