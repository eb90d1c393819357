import { get, listen, signOut } from './api.js';
import { answered, request, waiting } from './approvals.js';
import { counts } from './counts.js';
import { grants } from './grants.js';
import { help } from './dialog.js';
import { h, link, replace, visible } from './dom.js';
import { span, when } from './format.js';
import { player } from './player.js';
import { policy } from './policy.js';
import { recordings } from './recordings.js';
import { replay, replays } from './replays.js';
import { sessions } from './sessions.js';
import { decision, timeline } from './timeline.js';

/** Where one is stands after "#": a reload, a link in a message and the back button all lead to the same place. */

const places = [
  ['#/', 'Waiting'],
  ['#/grants', 'Grants'],
  ['#/sessions', 'Sessions'],
  ['#/timeline', 'Timeline', 'auditor'],
  ['#/recordings', 'Recordings', 'auditor'],
  ['#/counts', 'Counts', 'auditor'],
  ['#/policy', 'Policy', 'auditor'],
  ['#/replays', 'Replays', 'auditor'],
];
const keys = [
  ['j k', 'next, previous'],
  ['Enter', 'open'],
  ['a', 'approve, after a question'],
  ['r', 'refuse, with a reason'],
  ['/', 'search the timeline'],
  ['g w', 'what waits'],
  ['g r', 'grants'],
  ['g s', 'sessions'],
  ['g t', 'timeline'],
  ['g v', 'recordings'],
  ['g p', 'policy'],
  ['g y', 'replays'],
  ['Space', 'of a recording: play, pause'],
  ['← →', 'five seconds back, on'],
  ['.', 'one step'],
  ['< >', 'slower, faster'],
  ['?', 'this'],
];
const jumps = {
  w: '#/',
  r: '#/grants',
  s: '#/sessions',
  t: '#/timeline',
  v: '#/recordings',
  p: '#/policy',
  y: '#/replays',
  c: '#/counts',
};
const reasons = {
  mixed_up:
    'The answer of the identity provider did not belong to a sign-in that this browser began. Begin again, at the address that the gateway is known by.',
  too_late: 'It took too long. Begin again.',
  denied: 'The identity provider signed nobody in.',
  provider: 'The identity provider could not be asked, or its answer was wrong. The gateway’s log says more.',
  token: 'What the identity provider sent is not accepted here. The gateway’s log says why.',
};

const said_ms = 6_000;
const main = document.getElementById('main');
const said = document.getElementById('said');
let me;
let shown = { actions: {} };
let drawing = 0;
let stopListening = () => undefined;
let jumping = false;

let saying;
/** Said to whoever looks and to whoever listens; gone after a while, as it covers a corner. */
const say = (text) => {
  clearTimeout(saying);
  replace(said, visible(text));
  saying = setTimeout(() => replace(said), said_ms);
};
const go = (to) => {
  if (location.hash === to) void draw();
  else location.hash = to;
};

async function view() {
  const [path, search = ''] = location.hash.replace(/^#/u, '').split('?');
  const [, name = '', id] = path.split('/').map(decodeURIComponent);
  const around = { me, query: new URLSearchParams(search), go, act };
  switch (name) {
    case '':
      return waiting();
    case 'answered':
      return answered();
    case 'approvals':
      return request(id ?? '');
    case 'grants':
      return grants(around);
    case 'sessions':
      return sessions(around);
    case 'timeline':
      return timeline(around);
    case 'decisions':
      return decision(id ?? '', around);
    case 'recordings':
      return id === undefined ? recordings(around) : player(id, around);
    case 'policy':
      return policy(id);
    case 'replays':
      return id === undefined ? replays() : replay(id);
    case 'counts':
      return counts(around);
    default:
      return { title: 'There is nothing here', body: link('#/', 'What waits for you') };
  }
}

/** `quietly`: something happened elsewhere; the reader keeps their place. */
async function draw({ quietly = false } = {}) {
  const turn = ++drawing;
  if (!quietly) main.setAttribute('aria-busy', 'true');
  let next;
  try {
    next = await view();
  } catch (error) {
    if (error.status === 401) return signedOut(me === undefined ? '' : 'Your session is over.');
    next = { title: 'That did not work', body: h('p', { class: 'warning', role: 'alert' }, visible(error.message)) };
  }
  // Whoever went on meanwhile does not want this any more.
  if (turn !== drawing) return undefined;
  main.removeAttribute('aria-busy');
  const row = rows().indexOf(document.activeElement);
  const { scrollY } = window;
  shown = { actions: {}, ...next };
  replace(main, h('h1', { tabindex: '-1' }, visible(next.title)), next.body);
  document.title = `${next.waiting > 0 ? `(${next.waiting}) ` : ''}${next.title} · Sallyport`;
  for (const anchor of document.querySelectorAll('nav a'))
    if (anchor.getAttribute('href') === `#/${location.hash.split(/[/?]/u)[1] ?? ''}`)
      anchor.setAttribute('aria-current', 'page');
    else anchor.removeAttribute('aria-current');
  if (quietly) {
    window.scrollTo(0, scrollY);
    if (row >= 0) rows()[Math.min(row, rows().length - 1)]?.focus();
  } else (document.getElementById(next.focus ?? '') ?? main.querySelector('h1')).focus();
  return undefined;
}

/** Does something, says what came of it, and shows how things stand then. */
async function act(work) {
  try {
    const done = await work();
    if (done === undefined) return;
    say(done);
  } catch (error) {
    if (error.status === 401) return signedOut('Your session is over.');
    say(error.message);
  }
  await draw({ quietly: true });
}

const rows = () => [...document.querySelectorAll('[data-row]')];

function move(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))]?.focus();
}

function pressed(event) {
  const typing = event.target.closest?.('input, select, textarea, dialog') !== null;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || me === undefined) return;
  const { key } = event;
  // Space presses a button that has the focus, whatever it means elsewhere.
  if (key === ' ' && event.target.closest?.('button, a, summary') !== null) return;
  if (jumping) {
    jumping = false;
    if (jumps[key] !== undefined) go(jumps[key]);
    return;
  }
  if (key === 'j' || key === 'k') move(key === 'j' ? 1 : -1);
  else if (key === 'g') jumping = true;
  else if (key === '?') help(keys);
  else if (key === '/') void search();
  else if (shown.actions[key] !== undefined) void act(shown.actions[key]);
  else return;
  event.preventDefault();
}

async function search() {
  if (!location.hash.startsWith('#/timeline')) {
    history.pushState(undefined, '', '#/timeline');
    await draw();
  }
  main.querySelector('form.search input')?.focus();
}

function signedOut(why) {
  stopListening();
  me = undefined;
  shown = { actions: {} };
  drawing++;
  replace(document.getElementById('nav'));
  replace(document.getElementById('who'));
  document.title = 'Sign in · Sallyport';
  const to = location.hash.startsWith('#/signed-out') ? '#/' : location.hash || '#/';
  replace(
    main,
    h('h1', { tabindex: '-1' }, 'Sallyport'),
    why && h('p', { class: 'warning', role: 'alert' }, why),
    h('p', null, h('a', { class: 'button', href: `sign-in?to=${encodeURIComponent(to)}` }, 'Sign in')),
  );
  main.removeAttribute('aria-busy');
}

function greet() {
  const seen = places.filter(([, , role]) => role === undefined || me.roles.includes(role));
  replace(
    document.getElementById('nav'),
    seen.map(([to, name]) => link(to, name)),
  );
  replace(
    document.getElementById('who'),
    h(
      'span',
      { title: `${me.issuer}, until ${when(me.expires)}` },
      visible(me.subject),
      me.roles.length > 0 && ` (${me.roles.join(', ')})`,
    ),
    h(
      'button',
      { class: 'small', onclick: () => void signOut().then(() => signedOut('You are signed out.')) },
      'Sign out',
    ),
    h('button', { class: 'small', 'aria-label': 'Keys', onclick: () => help(keys) }, '?'),
  );
}

async function start() {
  const failed = /^#\/signed-out\/([a-z_]+)$/u.exec(location.hash)?.[1];
  if (failed !== undefined) return signedOut(reasons[failed] ?? 'Nobody was signed in.');
  try {
    me = await get('/whoami');
  } catch (error) {
    return signedOut(error.status === 401 ? '' : error.message);
  }
  greet();
  stopListening = listen(
    (type, id) => {
      if (type === 'requested') say(`Something waits: ${id}`);
      if (
        /^#?\/?(approvals\/.*|answered|grants|sessions)?$/u.test(location.hash.replace(/^#\//u, '')) &&
        document.querySelector('dialog') === null
      )
        void draw({ quietly: true });
    },
    () => void draw({ quietly: true }),
  );
  await draw();
  return undefined;
}

/** Times that run out are counted down where they stand. */
setInterval(() => {
  for (const one of document.querySelectorAll('[data-until]'))
    replace(one, span(Number(one.getAttribute('data-until')) - Date.now()));
}, 1_000);

window.addEventListener('hashchange', () => void (me === undefined ? undefined : draw()));
document.addEventListener('keydown', pressed);
void start();
