// The list of locks, of which only the visible part is in the document, and the chosen one in detail.

import { clock, element, span, title } from './picture.js';

const ROW = 44;
const QUEUE = 100;
const HISTORY = 50;

const list = document.getElementById('list');
const rows = document.getElementById('rows');
const filter = document.getElementById('filter');
const sort = document.getElementById('sort');

export class Locks {
  constructor(picture, act) {
    this.picture = picture;
    this.act = act;
    this.chosen = null;
    this.shown = [];
    this.pool = [];
    this.detailOf = '';
    this.onChoose = () => {};
    list.addEventListener('scroll', () => this.drawRows(), { passive: true });
    rows.addEventListener('click', (event) => {
      const row = event.target.closest('.row');
      if (row) this.choose(Number(row.dataset.id));
    });
    list.addEventListener('keydown', (event) => this.key(event));
    filter.addEventListener('input', () => this.draw());
    sort.addEventListener('change', () => this.draw());
    document.addEventListener('keydown', (event) => {
      if (event.key === '/' && !event.target.closest('input, select, dialog')) {
        event.preventDefault();
        filter.focus();
      }
    });
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || this.shown.length === 0) return;
    event.preventDefault();
    const at = this.shown.findIndex((lock) => lock.id === this.chosen);
    const to = Math.max(0, Math.min(this.shown.length - 1, at < 0 ? 0 : at + step));
    this.choose(this.shown[to].id);
    list.scrollTop = Math.min(list.scrollTop, to * ROW);
    list.scrollTop = Math.max(list.scrollTop, (to + 1) * ROW - list.clientHeight);
  }

  choose(id) {
    this.chosen = id;
    this.drawRows();
    this.drawDetail();
    this.onChoose(id);
  }

  // Those that fit the filter, in the order that is wanted.
  draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (lock) => words.every((word) => textOf(lock).includes(word));
    const all = [...this.picture.locks.values()];
    this.shown = words.length ? all.filter(fits) : all;
    const held = (lock) => lock.members.find((one) => one.held_ms !== undefined)?.held_ms ?? Infinity;
    const orders = {
      waiters: (a, b) => b.members.length - b.held - (a.members.length - a.held) || held(a) - held(b),
      held: (a, b) => held(a) - held(b),
      path: () => 0,
    };
    const byPath = (a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0);
    const order = orders[sort.value];
    // Infinity less Infinity is no number, and counts as equal.
    this.shown.sort((a, b) => order(a, b) || byPath(a, b));
    rows.style.height = `${this.shown.length * ROW}px`;
    const note = this.shown.length < all.length ? `${this.shown.length} of ${all.length} locks` : '';
    document.getElementById('list-note').textContent = note || (all.length ? '' : 'No locks here yet.');
    this.drawRows();
    this.drawDetail();
  }

  drawRows() {
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 2);
    const count = Math.min(this.shown.length - first, Math.ceil(list.clientHeight / ROW) + 4);
    while (this.pool.length < count) this.pool.push(this.makeRow());
    this.pool.forEach((row, n) => {
      row.hidden = n >= count;
      if (n < count) this.fillRow(row, this.shown[first + n], first + n);
    });
  }

  makeRow() {
    const row = element('div', 'row');
    row.setAttribute('role', 'option');
    for (const part of ['path', 'waiters', 'who', 'age']) row.append(element('span', part));
    rows.append(row);
    return row;
  }

  fillRow(row, lock, at) {
    const holder = lock.members.find((one) => one.held_ms !== undefined);
    const waiting = lock.members.length - lock.held;
    const [path, waiters, who, age] = row.children;
    row.dataset.id = lock.id;
    row.id = `lock-${lock.id}`;
    row.style.top = `${at * ROW}px`;
    const chosen = lock.id === this.chosen;
    row.setAttribute('aria-selected', chosen);
    if (chosen) list.setAttribute('aria-activedescendant', row.id);
    set(path, lock.path);
    set(waiters, waiting ? `${waiting} waiting` : '');
    const more = lock.held > 1 ? ` and ${lock.held - 1} more` : '';
    set(who, holder ? `${holder.mode === 'shared' ? 'read by ' : ''}${title(holder)}${more}` : 'free');
    set(age, holder ? `${holder.seen ? '' : '≤ '}${span(this.picture.now() - holder.held_ms)}` : '');
  }

  drawDetail() {
    const lock = this.picture.locks.get(this.chosen);
    const body = document.querySelector('#queue tbody');
    const name = document.getElementById('detail-title');
    const note = document.getElementById('queue-note');
    if (!lock) {
      if (this.chosen !== null) {
        set(name, 'The lock is gone');
        body.replaceChildren();
        set(note, 'Its directory was removed.');
      }
      return;
    }
    set(name, lock.path);
    const some = lock.members.slice(0, QUEUE);
    // Buttons that are being pressed must not be replaced: only ages change while the queue stays.
    const key = `${lock.id} ${some.map((one) => `${one.id}${one.held_ms ?? ''}${one.who ? 'w' : ''}${one.who?.asked ?? ''}`)}`;
    if (key !== this.detailOf) {
      this.detailOf = key;
      body.replaceChildren(...some.map((one) => this.queueRow(lock, one)));
    }
    some.forEach((one, n) => set(body.children[n].firstChild, this.state(one)));
    const more = lock.members.length - some.length;
    set(note, more > 0 ? `and ${more} more behind them` : lock.members.length ? '' : 'Nobody holds it or waits for it.');
    this.drawHistory(lock);
  }

  state(one) {
    const now = this.picture.now();
    if (one.held_ms === undefined) return `waits for ${span(now - one.since_ms)}`;
    // Of one that was there before us, only the age of its node is known.
    return `${one.seen ? 'holds for' : 'holds for at most'} ${span(now - one.held_ms)}`;
  }

  queueRow(lock, one) {
    const row = element('tr');
    row.dataset.node = one.node;
    const state = element('td', one.held_ms === undefined ? 'waits' : `holds ${one.mode}`);
    const who = element('td', '', title(one));
    const asked = one.who?.asked ? element('span', 'asked', ' asked to let go') : '';
    const about = [one.mode, one.who?.user && `user ${one.who.user}`, one.dialect, `since ${clock(one.since_ms)}`];
    const node = element('div', 'soft', about.filter(Boolean).join(', '));
    node.title = `${lock.path}/${one.node}`;
    who.append(asked, node);
    const acts = element('td', 'acts');
    if (one.who) {
      for (const [how, label] of [['ask', 'Ask'], ['remove', 'Free']]) {
        const button = element('button', how === 'remove' ? 'danger' : '', label);
        button.type = 'button';
        button.dataset.how = how;
        const what = how === 'ask' ? 'Ask it to let go' : 'Remove its node';
        button.setAttribute('aria-label', `${what}: ${title(one)}`);
        button.addEventListener('click', () => this.act(how, lock, one));
        acts.append(button, ' ');
      }
    }
    row.append(state, who, element('td', 'soft', one.who?.session ?? ''), acts);
    return row;
  }

  drawHistory(lock) {
    const past = (this.picture.spans.get(lock.id) ?? []).slice(-HISTORY).reverse();
    const key = `${lock.id} ${past.length} ${past[0]?.contender}`;
    if (key === this.historyOf) return;
    this.historyOf = key;
    document.getElementById('history').hidden = past.length === 0;
    document.getElementById('history-title').hidden = past.length === 0;
    const body = document.querySelector('#history tbody');
    body.replaceChildren(
      ...past.map((one) => {
        const row = element('tr');
        row.dataset.from = one.from_ms;
        row.dataset.to = one.to_ms;
        const long = `${one.seen ? '' : 'at most '}${span(one.to_ms - one.from_ms)}`;
        row.append(element('td', '', clock(one.from_ms)), element('td', '', long), element('td', '', one.name));
        return row;
      }),
    );
  }
}

function textOf(lock) {
  const holders = lock.members.filter((one) => one.held_ms !== undefined).map(title);
  return `${lock.path} ${holders.join(' ')}`.toLowerCase();
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
