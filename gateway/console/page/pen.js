/**
 * How letters are drawn on a terminal's screen: SGR, ECMA-48 8.3.117, and the colours of ITU T.416. A pen never changes; each
 * sequence makes another. A colour is a number of the palette (0 to 255), or `rgb(R, G, B)` made of three numbers; a page may
 * take it as it is.
 */

export const plain = Object.freeze({});

/** Switched on by the first number, off by the second. */
const switches = [
  ['bold', 1, 22],
  ['dim', 2, 22],
  ['italic', 3, 23],
  ['underline', 4, 24],
  ['inverse', 7, 27],
  ['concealed', 8, 28],
  ['struck', 9, 29],
];

/** @param parameters What stands between ";", as text: each may have parts of its own between ":". */
export function penAfter(pen, parameters) {
  let next = { ...pen };
  const given = parameters.length === 0 ? ['0'] : parameters;
  for (let at = 0; at < given.length; at++) {
    const [first, ...parts] = given[at].split(':');
    const number = Number(first || 0);
    if (number === 0) next = {};
    else if (number === 38 || number === 48 || number === 58) {
      const rest = given.slice(at + 1).map(Number);
      const { colour, used } = parts.length > 0 ? { colour: colourIn(parts), used: 0 } : colourBehind(rest);
      at += used;
      if (number !== 58 && colour !== undefined) next[number === 38 ? 'colour' : 'ground'] = colour;
    } else if (number === 4 && parts[0] === '0') delete next.underline;
    else simple(next, number);
  }
  return Object.keys(next).length === 0 ? plain : Object.freeze(next);
}

function simple(next, number) {
  for (const [name, on, off] of switches)
    if (number === on) next[name] = true;
    else if (number === off) delete next[name];
  // Underlined twice is underlined.
  if (number === 21) next.underline = true;
  if (number === 39) delete next.colour;
  if (number === 49) delete next.ground;
  if (number >= 30 && number <= 37) next.colour = number - 30;
  if (number >= 40 && number <= 47) next.ground = number - 40;
  if (number >= 90 && number <= 97) next.colour = number - 90 + 8;
  if (number >= 100 && number <= 107) next.ground = number - 100 + 8;
}

/** 38;5;N and 38;2;R;G;B, as everybody writes it. */
function colourBehind([kind, ...rest]) {
  if (kind === 5) return { colour: paletteColour(rest[0]), used: 2 };
  if (kind === 2) return { colour: rgb(rest.slice(0, 3)), used: 4 };
  return { colour: undefined, used: 0 };
}

/** 38:5:N, 38:2:R:G:B, and with the space of the colour, 38:2:SPACE:R:G:B. */
function colourIn(parts) {
  const [kind, ...rest] = parts.map(Number);
  if (kind === 5) return paletteColour(rest[0]);
  return kind === 2 ? rgb(rest.length > 3 ? rest.slice(1, 4) : rest) : undefined;
}

const isByte = (value) => Number.isInteger(value) && value >= 0 && value <= 255;
const paletteColour = (value) => (isByte(value) ? value : undefined);
const rgb = (values) => (values.length === 3 && values.every(isByte) ? `rgb(${values.join(', ')})` : undefined);

/** What a number from 16 on looks like in the palette of xterm: a cube of 6 by 6 by 6, then greys. */
export function cubeColour(number) {
  if (number >= 232) {
    const grey = 8 + (number - 232) * 10;
    return `rgb(${grey}, ${grey}, ${grey})`;
  }
  const level = (step) => (step === 0 ? 0 : 55 + step * 40);
  const at = number - 16;
  return `rgb(${level(Math.floor(at / 36))}, ${level(Math.floor(at / 6) % 6)}, ${level(at % 6)})`;
}
