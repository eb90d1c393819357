// Lets Node run the TypeScript of this folder: node --import ./bench/typescript.mjs bench/engine.ts
// What is measured is the built product (dist/); only the benchmarks, and what they borrow of the tests' support, are
// translated here.
import { transform } from '@swc/core';
import { register } from 'node:module';

const root = new URL('..', import.meta.url).href;

export async function resolve(specifier, context, nextResolve) {
  if (!specifier.startsWith('.') || !specifier.endsWith('.js') || !context.parentURL?.endsWith('.ts')) {
    return nextResolve(specifier, context);
  }
  const path = new URL(specifier, context.parentURL).href.slice(root.length);
  const translated = path.startsWith('bench/') || path.startsWith('test/');
  return nextResolve(root + (translated ? path.replace(/\.js$/, '.ts') : `dist/${path}`), context);
}

export async function load(url, context, nextLoad) {
  if (!url.endsWith('.ts')) return nextLoad(url, context);
  const { source } = await nextLoad(url, { ...context, format: 'module' });
  const { code } = await transform(source.toString(), {
    filename: url,
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type: 'es6' },
  });
  return { format: 'module', source: code, shortCircuit: true };
}

const inHooksThread = new URL(import.meta.url).searchParams.has('hooks');
if (!inHooksThread) register(`${import.meta.url}?hooks`);
