import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { packageRoot } from '../../bundles/index.js';
import type { App } from '../api/index.js';

/**
 * What browsers may do with the console's own pages: run its own scripts, and nothing that came in as text. Scripts cannot
 * even be handed a string to parse as HTML ("require-trusted-types-for").
 */
export const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** They ship as they stand, without a build; like the migrations they are not copied into dist/. */
const folder = path.join(packageRoot, 'gateway', 'console', 'page');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** One route for each file that is there at the start: no path is ever made from a request. */
export async function pageRoutes(app: App): Promise<void> {
  for (const name of await readdir(folder)) {
    const type = types[path.extname(name)];
    if (type === undefined) continue;
    const content = await readFile(path.join(folder, name));
    const url = name === 'index.html' ? '/console/' : `/console/${name}`;
    app.get(url, { config: { isPage: true } }, async (_request, reply) =>
      reply.header('content-security-policy', pagePolicy).type(type).send(content),
    );
  }
}
