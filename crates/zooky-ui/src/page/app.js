// Ties the page together: takes the server's events in, draws what has changed, asks before anything is freed.

import { Graph } from './graph.js';
import { Locks } from './locks.js';
import { Picture, element, span, title } from './picture.js';
import { Plots } from './plots.js';
import { Timeline, forgetColours } from './timeline.js';

const $ = (id) => document.getElementById(id);
const SESSIONS = 50;

const picture = new Picture();
const locks = new Locks(picture, confirm);
const timeline = new Timeline(picture);
const plots = new Plots(picture);
const graph = new Graph(picture);

locks.onChoose = (id) => {
  timeline.chosen = id;
  timeline.draw();
};

// --- events ---------------------------------------------------------------------------------------------------------

let waiting = false;
let connected = false;
const events = new EventSource('/events');
events.onopen = () => (connected = true);
events.onerror = () => {
  connected = false;
  drawLink();
};
// Many updates may come at once, and one may tell of thousands of contenders: they are taken in a little at a time, so that
// keys, scrolling and drawing have their turn in between.
const SLICE_MS = 10;
// With so many waiting, more are read only as fast as they are taken in; a page that falls behind is told everything anew.
const WAITING = 1000;
const arrived = [];
let intake = null;
const turns = new MessageChannel();
turns.port1.onmessage = takeIn;
events.onmessage = ({ data }) => {
  arrived.push({ data, at_ms: Date.now() });
  if (arrived.length > WAITING) takeSome();
  else if (arrived.length === 1 && !intake) turns.port2.postMessage(null);
};

function takeSome() {
  const end = performance.now() + SLICE_MS;
  while ((intake || arrived.length) && performance.now() < end) {
    intake ??= picture.apply(arrived.shift());
    if (intake.next().done) intake = null;
  }
}

function takeIn() {
  try {
    takeSome();
  } finally {
    if (intake || arrived.length) turns.port2.postMessage(null);
  }
  if (!waiting) {
    waiting = true;
    requestAnimationFrame(draw);
  }
}

// Each part is drawn as often as one can look at it, and takes its turn: no frame has to draw all of them. Parts out of sight
// are drawn when they come into view.
const seen = new Map();
const parts = [
  { of: 'locks', every: 200, draw: () => locks.draw() },
  { of: 'timeline', every: 250, draw: () => timeline.draw() },
  { of: 'plots', every: 1000, draw: () => plots.draw() },
  { of: 'graph', every: 1000, draw: () => graph.draw() },
  { of: 'health', every: 2000, draw: drawHealth },
];
for (const part of parts) part.last = -Infinity;
const inView = new IntersectionObserver((entries) => {
  for (const entry of entries) seen.set(entry.target.id, entry.isIntersecting);
  draw();
});
for (const part of parts) inView.observe($(part.of));

function draw() {
  waiting = false;
  drawHeader();
  const now = performance.now();
  const due = parts.filter((part) => seen.get(part.of) && now - part.last >= part.every);
  due.sort((a, b) => a.last - b.last);
  const part = due[0];
  if (part) {
    part.draw();
    part.last = performance.now();
  }
  if (due.length > 1 && !waiting) {
    waiting = true;
    requestAnimationFrame(draw);
  }
}

// Ages grow and bars lengthen while nothing happens.
setInterval(() => {
  if (!document.hidden) draw();
}, 250);
window.addEventListener('resize', () => {
  for (const part of parts) part.last = -Infinity;
  draw();
});

// --- header ---------------------------------------------------------------------------------------------------------

function drawHeader() {
  drawLink();
  set('count-locks', picture.locks.size);
  set('count-held', picture.held);
  set('count-waiting', picture.contenders.size - picture.held);
  set('count-cycles', picture.graph.cycles.length);
  $('count-cycles').classList.toggle('bad', picture.graph.cycles.length > 0);
}

function drawLink() {
  const link = picture.link;
  const live = connected && link?.live;
  $('link').className = live ? 'live' : link ? 'old' : '';
  if (!connected) set('link', link ? 'this page has lost its server; what you see is old' : 'connecting …');
  else if (!link) set('link', 'listing …');
  else if (!link.live) set('link', link.why ? `not of now: ${link.why}` : 'listing …');
  else set('link', link.how === 'watch' ? 'live' : 'live, by listing');
}

function set(id, text) {
  const node = $(id);
  if (node.textContent !== String(text)) node.textContent = text;
}

// --- health ---------------------------------------------------------------------------------------------------------

function drawHealth() {
  const rows = picture.health.map((one) => {
    const row = element('tr');
    const answer = one.answered_ms === undefined ? one.why : `${one.answered_ms} ms`;
    const cells = [one.server, one.mode ?? '–', one.version ?? '–', answer, one.latency ?? '–', one.connections ?? '–', one.outstanding ?? '–', one.nodes ?? '–', one.numbers.zk_stale_sessions_expired ?? '–'];
    row.append(...cells.map((text) => element('td', '', text)));
    if (one.why) row.className = 'asked';
    return row;
  });
  document.querySelector('#servers tbody').replaceChildren(...rows);
  const link = picture.link;
  if (link) {
    const left = span(link.left_ms);
    set('own-session', `This page's own session is ${link.session}; it lives on for ${left} for certain, of a timeout of ${span(link.timeout_ms)}. Followed: ${link.roots.join(', ')}.`);
  }
  drawSessions();
}

function drawSessions() {
  const sessions = new Map();
  for (const one of picture.contenders.values()) {
    if (!one.who) continue;
    let found = sessions.get(one.who.session);
    if (!found) sessions.set(one.who.session, (found = { who: title(one), held: 0, waits: 0 }));
    if (one.held_ms === undefined) found.waits++;
    else found.held++;
  }
  const all = [...sessions].sort(([, a], [, b]) => b.held + b.waits - a.held - a.waits);
  const rows = all.slice(0, SESSIONS).map(([session, one]) => {
    const row = element('tr');
    row.append(...[session, one.who, one.held, one.waits].map((text) => element('td', '', text)));
    return row;
  });
  document.querySelector('#sessions tbody').replaceChildren(...rows);
  set('sessions-note', all.length > SESSIONS ? `and ${all.length - SESSIONS} more sessions` : '');
}

// --- freeing --------------------------------------------------------------------------------------------------------

// In this page's memory alone, until it is left.
let token = '';
let wish = null;

function confirm(how, lock, one) {
  wish = { lock: lock.path, node: one.node, czxid: one.who.czxid, how };
  const remove = how === 'remove';
  const holds = one.held_ms !== undefined;
  set('act-title', remove ? `Free ${lock.path}?` : `Ask for ${lock.path}?`);
  const since = span(picture.now() - (holds ? one.held_ms : one.since_ms));
  set('act-who', `${title(one)} ${holds ? 'has held it' : 'has waited for it'} for ${one.seen || !holds ? '' : 'at most '}${since}.`);
  const danger = holds ? 'Its node is removed and the next one gets the lock. It may be at work, and nothing stops it: only a resource that checks fencing tokens is safe from it.' : 'Its node is removed: it loses its place in the queue.';
  set('act-danger', remove ? danger : '');
  $('act-token-label').hidden = token !== '';
  $('act-token').value = '';
  set('act-fault', '');
  set('act-yes', remove ? 'Remove its node' : 'Ask it to let go');
  $('act-yes').className = remove ? 'danger' : '';
  $('act').showModal();
  (token === '' ? $('act-token') : $('act-no')).focus();
}

async function carryOut() {
  const given = token || $('act-token').value.trim();
  $('act-yes').disabled = true;
  try {
    const headers = { 'Content-Type': 'application/json' };
    if (given) headers['Zooky-Token'] = given;
    const response = await fetch('/act', { method: 'POST', headers, body: JSON.stringify(wish) });
    const { words } = await response.json();
    if (response.status === 401 || response.status === 403) {
      token = '';
      $('act-token-label').hidden = false;
      set('act-fault', words);
      return;
    }
    token = given;
    $('act').close();
    tell(words);
  } catch (error) {
    set('act-fault', `the page's server cannot be reached: ${error.message}`);
  } finally {
    $('act-yes').disabled = false;
  }
}

$('act-yes').addEventListener('click', carryOut);
$('act-no').addEventListener('click', () => $('act').close());
$('act-token').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return;
  event.preventDefault();
  // Not carried out by the Enter that ends the token: that is asked for once more.
  $('act-yes').focus();
});

let telling = 0;
function tell(words) {
  set('told', words);
  clearTimeout(telling);
  telling = setTimeout(() => set('told', ''), 6000);
}

// --- theme ----------------------------------------------------------------------------------------------------------

const dark = matchMedia('(prefers-color-scheme: dark)');
let chosen = localStorage.getItem('theme');

function theme() {
  const now = chosen ?? (dark.matches ? 'dark' : 'light');
  document.documentElement.dataset.theme = now;
  set('theme', now === 'dark' ? 'Light' : 'Dark');
  forgetColours();
  for (const part of parts) part.last = -Infinity;
  draw();
}

dark.addEventListener('change', theme);
$('theme').addEventListener('click', () => {
  chosen = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
  localStorage.setItem('theme', chosen);
  theme();
});
theme();
