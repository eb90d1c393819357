#!/usr/bin/env node
// Writes docs/sallyport.schema.json, which editors check sallyport.yaml with, from the schema that the loader uses
// (`npm run schemas`). Reads the compiled sources: build first.
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { publishedSchema } from '../dist/gateway/config/index.js';
import { protocols } from '../dist/gateway/registry.js';

const file = new URL('../docs/sallyport.schema.json', import.meta.url);
await writeFile(file, publishedSchema(protocols));
console.log(`wrote ${fileURLToPath(file)}`);
