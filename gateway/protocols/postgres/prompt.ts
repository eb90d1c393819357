import type { Prompt } from '../../protocol.js';

/**
 * The places where a session can name its prompt: `application_name=prompt:ID` and `options=-c sallyport.prompt=…` in the
 * start-up packet, `SET sallyport.prompt = …` afterwards. What one statement says of its own stands in a comment (sql/comment.ts).
 * All of it is claimed.
 */

/** The one setting of the gateway's that is the client's to set. */
export const promptSetting = 'sallyport.prompt';

/** Longer texts are registered, and named by their id. */
export const prompt_chars_max = 4_096;

/** One word is an id; anything else is the prompt's text. */
const word = /^[\w.:-]{1,64}$/;

/** What a value of the setting says; undefined: nothing. */
export function promptIn(value: string): Prompt | undefined {
  if (value === '') return undefined;
  return word.test(value) ? { id: value } : { text: value.slice(0, prompt_chars_max) };
}

/** `application_name=prompt:ID`, for clients that can choose no other setting. */
export function promptOfApplication(application: string | undefined): Prompt | undefined {
  const id = /(?:^|\s)prompt:([\w.:-]{1,64})/.exec(application ?? '')?.[1];
  return id === undefined ? undefined : { id };
}
