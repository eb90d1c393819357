import { among, unitsOf, type Found } from './found.js';

const local_units_max = 64;
const domain_units_max = 190;
const localUnits = unitsOf(/[\w.+\x80-\xff-]/);
const domainUnits = unitsOf(/[\w.\x80-\xff-]/);
const point = 0x2e;

/** From each @ outward: an address is as long as what stands around it, and costs no more to look for. */
export function findEmail(text: string, from: number): Found | undefined {
  for (let at = text.indexOf('@', from + 1); at >= 0; at = text.indexOf('@', at + 1)) {
    let end = at + 1;
    let pointed = false;
    for (; end < text.length && end - at <= domain_units_max; end++) {
      const code = text.charCodeAt(end);
      if (!among(domainUnits, code, true)) break;
      if (code === point) pointed = true;
    }
    if (!pointed) continue;
    let start = at;
    while (start > from && at - start < local_units_max && among(localUnits, text.charCodeAt(start - 1), true)) start--;
    // No half of a character stays: further bytes of one are 0x80 to 0xbf.
    while (start < at && text.charCodeAt(start) >= 0x80 && text.charCodeAt(start) <= 0xbf) start++;
    if (start === at) continue;
    const domain = text.slice(at + 1, end).replace(/[.-]+$/, '');
    if (!/^(?:[\w\x80-\uffff-]+\.)+[\w\x80-\uffff-]*[a-z\x80-\uffff][\w\x80-\uffff-]*$/i.test(domain)) continue;
    if (/\.[^.]$/.test(domain)) continue;
    return { start, end: at + 1 + domain.length };
  }
  return undefined;
}
