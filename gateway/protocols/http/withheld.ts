import type { Withheld } from '../../protocol.js';
import type { HttpOperation } from './schema.js';

/** Where answers are masked, values of requests do not stand in the record either: what was asked for, and by which names. */
export function withhold(own: unknown, { conceal }: Withheld): Readonly<Record<string, unknown>> {
  const { body, headers: _, query, graphql, ...rest } = own as HttpOperation;
  const concealed = Object.entries(query).map(([name, values]) => [name, values.map(conceal)] as const);
  return {
    ...rest,
    query: Object.fromEntries(concealed),
    ...(body === undefined ? {} : { body: withoutValues(body) }),
    ...(graphql === undefined ? {} : { graphql: withoutArguments(graphql) }),
  };
}

function withoutValues(body: NonNullable<HttpOperation['body']>) {
  const { json: _json, form: _form, text: _text, parts, ...about } = body;
  return { ...about, ...(parts === undefined ? {} : { parts: parts.map(({ text: _part, ...part }) => part) }) };
}

function withoutArguments({ requests, ...about }: NonNullable<HttpOperation['graphql']>) {
  const fields = (all: (typeof requests)[number]['fields']) => all.map(({ arguments: _, ...field }) => field);
  return { ...about, requests: requests.map((request) => ({ ...request, fields: fields(request.fields) })) };
}
