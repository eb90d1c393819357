import { parse, type ParseError } from 'unbash';

/**
 * A line as a shell's grammar has it. The parser calls itself for each level: of a line that is nested so deeply that it would
 * run out of stack nothing is known, and that is told as an error in it.
 */
export function parseShell(text: string): ReturnType<typeof parse> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const tooDeep: ParseError = { message: 'unexpected: it is nested too deeply', pos: 0 };
    return { ...parse(''), errors: [tooDeep] };
  }
}
