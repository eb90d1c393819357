import { lookup, type LookupAddress } from 'node:dns';

/**
 * Names of the internet, resolved by the system one after the other.
 *
 * The system does it on threads, and libuv lets two at once wait for names, in the whole process. Whoever owns a name says how long
 * its answer takes, up to half a minute, and cannot be hurried: names that are never answered would keep databases and issuers of
 * tokens from being found. So they get one of the two, and wait for one another.
 */
export type Resolve = (
  name: string,
  family: number | 'IPv4' | 'IPv6',
  done: (error: Error | null, addresses: readonly LookupAddress[]) => void,
) => () => void;

/** Resolves as `dns.lookup` does. What it gives withdraws the question: one that was not asked yet is not asked. */
export function inTurn(resolve: typeof lookup = lookup): Resolve {
  const waiting = new Set<() => void>();
  let asking = false;
  const next = () => {
    const [first] = waiting;
    asking = first !== undefined;
    if (first === undefined) return;
    waiting.delete(first);
    first();
  };
  return (name, family, done) => {
    const ask = () =>
      resolve(name, { all: true, family }, (error, addresses) => {
        next();
        done(error, error === null ? addresses : []);
      });
    waiting.add(ask);
    if (!asking) next();
    return () => waiting.delete(ask);
  };
}
