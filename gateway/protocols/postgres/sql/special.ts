import { constant, type Wrapped } from './ast.js';
import { qualified } from './facts.js';
import { identifiers, split } from './names.js';
import type { Context } from './scope.js';
import { checkOwner, setSetting } from './settings.js';

/** Calls of built-ins whose constant arguments say what they touch. An argument that is no constant makes them opaque. */
export function specialCall(context: Context, name: string, args: readonly Wrapped[]): void {
  const { facts } = context;
  const [first, second] = args.map((arg) => constant(arg));
  switch (name) {
    case 'nextval':
    case 'setval':
    case 'currval': {
      const access = name === 'currval' ? 'read' : 'update';
      if (access === 'update') facts.act('write');
      const parts = typeof first === 'string' ? identifiers(first) : undefined;
      if (parts === undefined) {
        facts.opaque(`the sequence of ${name}() is not a constant`);
        return;
      }
      const { schema, name: sequence } = split(parts);
      const found = context.relation(schema, sequence);
      if (found !== undefined) facts.relation(qualified(found), found.kind, access);
      return;
    }
    case 'lastval':
      return;
    case 'current_setting':
      if (typeof first === 'string') {
        checkOwner(first);
        facts.setting(first.toLowerCase(), 'read');
      } else if (first === undefined) {
        facts.opaque('the setting of current_setting() is not a constant');
        facts.readsAnySetting = true;
      }
      return;
    case 'set_config':
      if (typeof first !== 'string') {
        facts.opaque('the setting of set_config() is not a constant');
        facts.movesPath = true;
        facts.movesAnything = true;
        return;
      }
      setSetting(facts, first, typeof second === 'string' ? [second] : undefined);
      return;
    case 'pg_notify':
      facts.act('write');
      if (typeof first === 'string') facts.other({ type: 'channel', name: first, access: 'use' });
      else facts.opaque('the channel of pg_notify() is not a constant');
      return;
  }
}
