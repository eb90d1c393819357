import type { Operation, Prompt } from '#engine';
import type { Circumstances } from '../../../protocol.js';
import { executeOperation, prepareOperation, withholding, type Place } from '../operation.js';
import type { Exchange } from '../session/exchange.js';
import type { Portal } from '../session/names.js';
import { decodeParameters, type DecodedParameters } from './parameters.js';
import { promptIn } from '../prompt.js';
import type { Template } from './statement.js';

export const noParameters: DecodedParameters = { values: [], undecoded: false };

/** Types with a number from here on are no part of the server: what their operators and casts run is not known. */
const firstOtherType = 16_384;
export const hasForeignType = (types: readonly number[]) => types.some((type) => type >= firstOtherType);

/** The operations of one session: templates with their parameters, where they are asked for, and in which circumstances. */
export class Operations {
  readonly #exchange: Exchange;
  readonly #place: Place;

  constructor(exchange: Exchange, place: Place) {
    this.#exchange = exchange;
    this.#place = place;
  }

  /** What is judged at Execute. */
  execute(template: Template, portal: Portal | undefined): Operation {
    return executeOperation(template, this.#place, this.decoded(portal));
  }

  decoded(portal: Portal | undefined): DecodedParameters {
    if (portal === undefined) return noParameters;
    const { values, formats, prepared } = portal;
    const decoded = values.length === 0 ? noParameters : decodeParameters(values, formats, prepared.types);
    return hasForeignType(prepared.types) ? { ...decoded, undecoded: true } : decoded;
  }

  /** What is judged at Parse. */
  prepare(template: Template, types: readonly number[]): Operation {
    const operation = prepareOperation(template, this.#place);
    return hasForeignType(types) ? { ...operation, opaque: true } : operation;
  }

  circumstances(template: Template): Circumstances {
    const { transaction } = this.#exchange;
    const state = transaction === 'I' ? 'idle' : transaction === 'T' ? 'open' : 'failed';
    const withhold = withholding(template);
    const claimed = claimedBy(template);
    return claimed === undefined ? { transaction: state, withhold } : { transaction: state, prompt: claimed, withhold };
  }
}

/**
 * What a string says of its prompt. One that sets the session's is judged whole under what it sets: `SET sallyport.prompt = 'p-17';
 * DELETE …` in one message. A comment goes before.
 */
function claimedBy({ comment, statements }: Template): Prompt | undefined {
  const set = statements.findLast(({ prompt }) => prompt !== undefined)?.prompt;
  const session = set === undefined ? undefined : promptIn(set);
  if (comment === undefined) return session;
  return {
    ...session,
    ...(comment.prompt === undefined ? {} : { text: comment.prompt }),
    ...(comment.trace === undefined ? {} : { trace: comment.trace }),
  };
}
