import { getText } from './api.js';
import { readCast } from './cast.js';
import { h, link, terms, visible } from './dom.js';
import { clock, when } from './format.js';
import { Playback } from './playback.js';
import { terminalView } from './terminal-view.js';

/** One recording, played. What stands in it was written by a host and whoever used it: it is drawn, and never obeyed. */

const cast_bytes_max = 32 * 1024 * 1024;
/** Drawn between two pictures of the page, which stays awake meanwhile. */
const frame_units_max = 65_536;
/** A page that was in the background does not catch up. */
const frame_ms_max = 250;
const pause_s_max = 2;
const jump_s = 5;
const speeds = [0.5, 1, 2, 4, 8, 16];
const notes_max = 200;
const note_chars_max = 2_000;
const command_chars_max = 4_000;

const standings = {
  whole: ['note', 'It is what was recorded: its digest is the one in the audit.'],
  incomplete: [
    'warning',
    'It is not complete: it could not be recorded to its end. As far as it goes, its digest is the one in the audit.',
  ],
  changed: [
    'warning',
    'It is not what was recorded: its digest is not the one in the audit. Somebody or something has changed it.',
  ],
  unknown: ['note', 'It was not compared with the audit, which has no digest of it, or not yet.'],
};

export async function player(id, { query }) {
  const { text, headers, cut } = await getText(`/recordings/${encodeURIComponent(id)}`, cast_bytes_max);
  const cast = readCast(text);
  if (cast === undefined) return { title: 'Recording', body: h('p', { class: 'warning' }, 'It cannot be read.') };
  const [kind, standing] = standings[headers.get('sallyport-recording')] ?? standings.unknown;
  const { body, actions, notes } = stage(cast, Number(query.get('at') ?? 0) || 0);
  const own = cast.header.sallyport ?? {};
  return {
    title: `Recording ${own.id ?? id}`,
    actions,
    body: [
      h('p', { class: kind, role: kind === 'warning' ? 'alert' : undefined }, standing),
      (cut || cast.cut) &&
        h(
          'p',
          { class: 'warning' },
          'It is too long for this page, which has its beginning: sallyport recordings play has all of it.',
        ),
      cast.header.command !== undefined && commandOf(String(cast.header.command)),
      body,
      notes,
      terms([
        ['Who', own.principal?.subject],
        ['Purpose', own.purpose],
        ['Target', own.target],
        ['When', when(cast.header.timestamp * 1_000)],
        ['Decision', own.decision && link(`#/decisions/${encodeURIComponent(own.decision)}`, visible(own.decision))],
        ['Session', own.session],
        ['Masked', own.masked === true && 'as its client got it'],
      ]),
    ],
  };
}

/** With its lines: in one, what stands behind a comment's end would seem to belong to it. */
const commandOf = (command) =>
  h(
    'pre',
    null,
    h('code', null, visible(command.slice(0, command_chars_max)), command.length > command_chars_max && ' …'),
  );

/** The screen and what moves it. It stops by itself when the page shows something else. */
function stage(cast, at) {
  const playback = new Playback(cast);
  const view = terminalView();
  const state = { playing: false, running: false, speed: 1, now_s: at, before_ms: undefined };
  const controls = controlsOf({ toggle, step, jump, goTo, speed, pauses, colours });
  const screen = h('div', { class: 'terminal', role: 'region', 'aria-label': 'Screen', tabindex: '0' }, view.element);

  function frame(time_ms) {
    state.running = screen.isConnected;
    if (!state.running) return;
    const arrived = playback.work(frame_units_max);
    const passed_ms = Math.min(frame_ms_max, time_ms - (state.before_ms ?? time_ms));
    state.before_ms = time_ms;
    if (arrived && state.playing) {
      state.now_s = Math.min(playback.seconds, state.now_s + (passed_ms / 1_000) * state.speed);
      playback.seek(state.now_s);
      if (state.now_s >= playback.seconds) state.playing = false;
    }
    view.show(playback.terminal.screen);
    controls.show(playback, state, arrived);
    state.running = state.playing || !playback.work(0);
    if (state.running) requestAnimationFrame(frame);
  }
  function run() {
    if (state.running) return;
    state.running = true;
    state.before_ms = undefined;
    requestAnimationFrame(frame);
  }
  function goTo(seconds) {
    state.now_s = Math.max(0, Math.min(playback.seconds, seconds));
    playback.seek(state.now_s);
    run();
  }
  function jump(by) {
    goTo(state.now_s + by);
  }
  function toggle() {
    state.playing = !state.playing;
    if (state.playing && state.now_s >= playback.seconds) goTo(0);
    run();
  }
  function step() {
    state.playing = false;
    playback.step();
    state.now_s = playback.at;
    run();
  }
  function speed(times) {
    state.speed = times;
    run();
  }
  /** The moment stays, whatever its number is. */
  function pauses(shortened) {
    playback.pace(shortened ? pause_s_max : Infinity);
    state.now_s = playback.at;
    run();
  }
  function colours(without) {
    screen.classList.toggle('without', without);
  }

  goTo(at);
  const toRecorded = (seconds) => {
    controls.wholePauses();
    pauses(false);
    goTo(seconds);
  };
  const actions = {
    ' ': async () => toggle(),
    '.': async () => step(),
    ArrowLeft: async () => jump(-jump_s),
    ArrowRight: async () => jump(jump_s),
    '<': async () => controls.speedBy(-1),
    '>': async () => controls.speedBy(1),
  };
  return { body: [screen, controls.element], notes: notesOf(cast, toRecorded), actions };
}

function controlsOf({ toggle, step, jump, goTo, speed, pauses, colours }) {
  const play = h('button', { type: 'button', onclick: toggle }, 'Play');
  const bar = h('input', {
    type: 'range',
    min: '0',
    step: 'any',
    'aria-label': 'Position',
    oninput: moved,
    onkeydown: key,
  });
  const place = h('output', { class: 'place' });
  const choice = h(
    'select',
    { 'aria-label': 'Speed', onchange: () => speed(Number(choice.value)) },
    speeds.map((times) => h('option', { value: times, selected: times === 1 }, `${times} ×`)),
  );
  const shorten = h('input', { type: 'checkbox', onchange: () => pauses(shorten.checked) });
  const without = h('input', { type: 'checkbox', onchange: () => colours(without.checked) });

  function moved() {
    goTo(Number(bar.value));
  }
  /** The keys of the page hold on the bar, too. */
  function key(event) {
    const does = {
      ' ': toggle,
      '.': step,
      ArrowLeft: () => jump(-jump_s),
      ArrowRight: () => jump(jump_s),
    }[event.key];
    if (does === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    does();
  }
  function speedBy(by) {
    const at = speeds.indexOf(Number(choice.value)) + by;
    choice.value = String(speeds[Math.max(0, Math.min(speeds.length - 1, at))]);
    speed(Number(choice.value));
  }
  function show(playback, { playing, now_s }, arrived) {
    play.textContent = playing ? 'Pause' : 'Play';
    bar.max = String(playback.seconds);
    bar.value = String(now_s);
    const said = `${clock(now_s)} of ${clock(playback.seconds)}`;
    bar.setAttribute('aria-valuetext', said);
    place.textContent = arrived ? said : `${said} …`;
  }

  const element = h(
    'div',
    { class: 'player', role: 'group', 'aria-label': 'Player' },
    bar,
    h(
      'div',
      { class: 'line' },
      play,
      h('button', { type: 'button', 'aria-label': 'Five seconds back', onclick: () => jump(-jump_s) }, '−5 s'),
      h('button', { type: 'button', 'aria-label': 'Five seconds on', onclick: () => jump(jump_s) }, '+5 s'),
      h('button', { type: 'button', onclick: step }, 'Step'),
      choice,
      place,
      h('label', { class: 'tick' }, shorten, ' shorten pauses'),
      h('label', { class: 'tick' }, without, ' without colours'),
    ),
  );
  return { element, show, speedBy, wholePauses: () => (shorten.checked = false) };
}

/** What was not on the screen: words of the gateway, what was sent without an echo, and the end. */
function notesOf({ events }, goTo) {
  const words = { i: 'sent', m: 'gateway', x: 'ended' };
  const found = events.filter(([, code]) => words[code] !== undefined);
  if (found.length === 0) return undefined;
  return h(
    'section',
    { 'aria-label': 'Beside the screen' },
    h('h2', null, 'Beside the screen'),
    h(
      'ul',
      { class: 'plain' },
      found
        .slice(0, notes_max)
        .map(([seconds, code, text]) =>
          h(
            'li',
            null,
            h('button', { class: 'small', type: 'button', onclick: () => goTo(seconds) }, clock(seconds)),
            ` ${words[code]} `,
            h('code', null, visible(text.slice(0, note_chars_max))),
            text.length > note_chars_max && ' …',
          ),
        ),
      found.length > notes_max && h('li', null, `and ${found.length - notes_max} more`),
    ),
  );
}
