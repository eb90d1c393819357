/**
 * Cuts a statement into pieces that read easily. It is for the eye alone: nothing is decided by it, whatever it makes of a
 * text, its pieces put together are that text.
 */

const keywords = new Set(
  `all alter analyze and any array as asc begin between by call cascade case check close collate column commit concurrently
conflict constraint copy create cross current cursor database deallocate declare default delete desc distinct do drop else end
execute except exists explain extension false fetch filter first for foreign from full function grant group having if ilike in index
inner insert intersect into is join key last lateral left like limit lock materialized merge natural not nothing null nulls offset
on only or order outer over partition prepare primary procedure recursive references refresh rename replace restrict returning
revoke right role rollback row rows savepoint schema select sequence set show some table tablesample temporary then to trigger
true truncate union unique update user using vacuum values view when where window with`.split(/\s+/u),
);

/** Words that take something away or let somebody in: they shall not be overlooked. */
const strong = new Set([
  'delete',
  'drop',
  'truncate',
  'update',
  'alter',
  'grant',
  'revoke',
  'insert',
  'merge',
  'create',
]);

const piece = new RegExp(
  [
    /(?<comment>--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))/u,
    /(?<string>(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)[\s\S]*?(?:\k<dollar>|$)|[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|'(?:[^']|'')*(?:'|$))/u,
    /(?<name>"(?:[^"]|"")*(?:"|$))/u,
    /(?<parameter>\$\d+)/u,
    /(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/u,
    /(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/u,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gu',
);

/** Pieces of {kind, text}; kind is plain, comment, string, name, parameter, number, keyword or strong. */
export function pieces(statement) {
  const found = [];
  let from = 0;
  for (const match of statement.matchAll(piece)) {
    const [text] = match;
    if (match.index > from) found.push({ kind: 'plain', text: statement.slice(from, match.index) });
    from = match.index + text.length;
    found.push({ kind: kindOf(match.groups, text), text });
  }
  if (from < statement.length) found.push({ kind: 'plain', text: statement.slice(from) });
  return found;
}

function kindOf(groups, text) {
  if (groups.word === undefined) {
    return ['comment', 'string', 'name', 'parameter', 'number'].find((kind) => groups[kind] !== undefined);
  }
  const word = text.toLowerCase();
  return strong.has(word) ? 'strong' : keywords.has(word) ? 'keyword' : 'plain';
}
