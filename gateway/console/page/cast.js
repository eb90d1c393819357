/**
 * A recording as text (asciicast v2, one JSON value a line) becomes its events. It was written by whoever has the gateway's
 * folder: what has another form is passed over, and there is a bound on how much is taken.
 */

const events_max = 400_000;
const codes = new Set(['o', 'i', 'm', 'r', 'x']);

/** Undefined where it is none. `cut`: there was more than is taken. */
export function readCast(text) {
  let header;
  const events = [];
  let cut = false;
  let before = 0;
  for (const line of linesOf(text)) {
    const value = parse(line);
    if (header === undefined) {
      if (value?.version !== 2 || typeof value.width !== 'number' || typeof value.height !== 'number') return undefined;
      header = value;
      continue;
    }
    if (!Array.isArray(value)) continue;
    const [seconds, code, said] = value;
    if (!Number.isFinite(seconds) || !codes.has(code) || typeof said !== 'string') continue;
    if (events.length >= events_max) {
      cut = true;
      break;
    }
    // Clocks are set back; a recording goes on.
    before = Math.max(before, seconds);
    events.push([before, code, said]);
  }
  return header === undefined ? undefined : { header, events, cut };
}

function* linesOf(text) {
  for (let from = 0; from < text.length;) {
    const end = text.indexOf('\n', from);
    const to = end < 0 ? text.length : end;
    if (to > from) yield text.slice(from, to);
    from = to + 1;
  }
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** When each event is shown where no pause is longer than `pause_s_max`. */
export function paced(events, pause_s_max) {
  let before = 0;
  let shown = 0;
  return Float64Array.from(events, ([seconds]) => {
    shown += Math.min(seconds - before, pause_s_max);
    before = seconds;
    return shown;
  });
}
