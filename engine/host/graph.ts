import { compareTerms, writeTerm, type Term } from '../regotext.js';
import { RegoText, setOf, stepFuel, type Call, type Table } from './builtin.js';

type Graph = ReadonlyMap<string, readonly Term[]>;

/** Nodes that nothing leads on from are an empty list: a value that is neither array nor set has no edges. */
function edgesOf(term: Term): readonly Term[] {
  if (term.kind === 'array') return term.elements;
  return term.kind === 'set' ? [...term.elements].sort(compareTerms) : [];
}

/** All paths from the roots, each as far as it leads without meeting itself. Charged for each step: there may be very many. */
function reachablePaths(call: Call): RegoText | undefined {
  const [graph, roots] = [call.term(0), call.term(1)];
  if (graph.kind !== 'object' || (roots.kind !== 'array' && roots.kind !== 'set')) return undefined;
  const edges: Graph = new Map(graph.entries.map(([node, to]) => [writeTerm(node), edgesOf(to)]));
  const paths = new Set<string>();
  const follow = (node: string, path: readonly string[]): void => {
    call.charge(stepFuel * (path.length + 1));
    const next = edges.get(node);
    // A node that the graph does not have ends the path before it.
    if (next === undefined) {
      paths.add(`[${path.join(',')}]`);
      return;
    }
    const here = [...path, node];
    if (next.length === 0) paths.add(`[${here.join(',')}]`);
    for (const neighbour of next.map(writeTerm)) {
      if (here.includes(neighbour)) paths.add(`[${here.join(',')}]`);
      else follow(neighbour, here);
    }
  };
  for (const root of roots.elements.map(writeTerm)) if (edges.has(root)) follow(root, []);
  return setOf([...paths].map((path) => new RegoText(path)));
}

export const graph: Table = { 'graph.reachable_paths': (_values, call) => reachablePaths(call) };
