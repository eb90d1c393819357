/** The console: a web page for people, signed in through OpenID Connect, over the same API as everybody's. */
export { consoleGate, type ConsoleOptions } from './console.js';
