/**
 * Elements, made from names, properties and text. Text only ever becomes text: nothing here parses markup, and the page's
 * Content-Security-Policy (Trusted Types) makes sure that nothing else does either.
 */

const svgNames = new Set(['svg', 'g', 'rect', 'line', 'path', 'title', 'text', 'circle']);

/** h('p', {class: 'note', onclick: f}, 'text', element, …); undefined, null and false are left out. */
export function h(name, properties, ...children) {
  const element = svgNames.has(name)
    ? document.createElementNS('http://www.w3.org/2000/svg', name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** What moves, hides or turns round the text beside it: shown as its code, so that a statement reads as it is. */
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Others' text as pieces of text and codes. */
export function visible(text) {
  const pieces = [];
  let from = 0;
  for (const { 0: character, index } of String(text ?? '').matchAll(hidden)) {
    if (index > from) pieces.push(text.slice(from, index));
    pieces.push(h('span', { class: 'code-point' }, `\\u${character.codePointAt(0).toString(16).padStart(4, '0')}`));
    from = index + character.length;
  }
  pieces.push(String(text ?? '').slice(from));
  return pieces;
}

/** A list of terms: [['Who', 'ada'], …]; empty ones are left out. */
export function terms(pairs) {
  return h(
    'dl',
    { class: 'terms' },
    pairs
      .filter(([, value]) => value !== undefined && value !== null && value !== '' && value !== false)
      .map(([name, value]) => [h('dt', null, name), h('dd', null, typeof value === 'string' ? visible(value) : value)]),
  );
}

/** A table with a caption for those who cannot see it. Cells: text, or elements. */
export function table(caption, titles, rows) {
  return h(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h(
      'table',
      null,
      h('caption', { class: 'unseen' }, caption),
      h(
        'thead',
        null,
        h(
          'tr',
          null,
          titles.map((title) => h('th', { scope: 'col' }, title)),
        ),
      ),
      h(
        'tbody',
        null,
        rows.map((cells) =>
          h(
            'tr',
            null,
            cells.map((cell) => h('td', null, typeof cell === 'string' ? visible(cell) : cell)),
          ),
        ),
      ),
    ),
  );
}

export const badge = (word) => h('span', { class: `badge ${word}` }, word);

export const link = (to, ...children) => h('a', { href: to }, ...children);
