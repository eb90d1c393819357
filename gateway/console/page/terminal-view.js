import { h } from './dom.js';
import { cubeColour } from './pen.js';

/** A screen as elements. Letters only ever become text; what a pen says becomes one of our classes, or a colour of numbers. */

const flags = ['bold', 'dim', 'italic', 'underline', 'concealed', 'struck'];

export function terminalView() {
  const element = h('div', { class: 'screen', dir: 'ltr' });
  let rows = [];
  let columns;
  let cursorRow;
  const show = (screen) => {
    if (rows.length !== screen.rows || columns !== screen.columns) {
      rows = screen.lines.map(() => h('div', { class: 'row' }));
      columns = screen.columns;
      element.replaceChildren(...rows);
      // How large letters may be depends on it (console.css).
      element.style.setProperty('--columns', String(columns));
      screen.lines.forEach((_, y) => screen.changed.add(y));
    }
    if (cursorRow < screen.rows) screen.changed.add(cursorRow);
    cursorRow = screen.y;
    screen.changed.add(cursorRow);
    for (const y of screen.changed) {
      const cursor = y === screen.y && !screen.hiddenCursor ? screen.x : undefined;
      rows[y].replaceChildren(...runs(screen.lines[y], cursor).map(elementOf));
    }
    screen.changed.clear();
  };
  return { element, show };
}

/** Letters beside each other that are drawn alike; a wide one and the one under the cursor stand alone. */
function runs(line, cursor) {
  const found = [];
  line.forEach(({ text, pen, width }, x) => {
    if (width === 0) return;
    const run = found.at(-1);
    const alone = width === 2 || x === cursor;
    if (run !== undefined && !alone && !run.alone && run.pen === pen) run.text += text;
    else found.push({ text, pen, alone, wide: width === 2, cursor: x === cursor });
  });
  return found;
}

function elementOf({ text, pen, wide, cursor }) {
  const classes = [wide && 'wide', cursor && 'cursor', ...flags.map((flag) => pen[flag] && flag)].filter(Boolean);
  const colour = pen.inverse ? (pen.ground ?? 'ground') : pen.colour;
  const ground = pen.inverse ? (pen.colour ?? 'text') : pen.ground;
  const span = h('span');
  paint(span, classes, 'f', 'color', colour);
  paint(span, classes, 'b', 'background-color', ground);
  if (classes.length === 0 && span.style.length === 0) return document.createTextNode(text);
  if (classes.length > 0) span.setAttribute('class', classes.join(' '));
  span.textContent = text;
  return span;
}

/** The first sixteen are ours (console.css), the others are what they say. */
function paint(span, classes, letter, property, colour) {
  if (colour === undefined) return;
  const isOurs = colour === 'text' || colour === 'ground' || colour < 16;
  if (isOurs) classes.push(`${letter}-${colour}`);
  else span.style.setProperty(property, typeof colour === 'number' ? cubeColour(colour) : colour);
}
