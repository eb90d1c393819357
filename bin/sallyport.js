#!/usr/bin/env node
// The command line's entrance. The code behind it is compiled by `npm run build`, which `npm ci` runs by itself.
import { existsSync } from 'node:fs';

const main = new URL('../dist/gateway/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('sallyport: not built yet. Run `npm run build` in the checkout first.\n');
  process.exit(3);
}
const { main: run } = await import(main.href);
await run(process.argv);
