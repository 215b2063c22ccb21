// The page's copy of the picture: takes the server's updates in and knows nothing of what is drawn.

export const KEPT_MS = 15 * 60 * 1000;
const SPANS = 20000;
const SAMPLES = 900;
// So many lines are taken in before others may have their turn.
const PIECE = 100;

export class Picture {
  constructor() {
    this.skew = 0;
    this.link = null;
    this.reset();
  }

  reset() {
    this.locks = new Map();
    this.contenders = new Map();
    this.spans = new Map();
    this.spanCount = 0;
    this.samples = [];
    this.graph = { nodes: [], edges: [], cycles: [], all_edges: 0 };
    this.health = [];
    this.held = 0;
    // Counts changes, so that whoever draws sees whether there was one.
    this.version = 0;
  }

  // The server's clock, by which all times here are.
  now() {
    return Date.now() + this.skew;
  }

  // Takes an update in, and stops now and then for whoever else has something to do: it is called until it is done.
  *apply({ data, at_ms }) {
    const update = JSON.parse(data);
    if (update.reset) this.reset();
    this.skew = update.now_ms - at_ms;
    yield* each(update.locks, (line) => this.addLock(line));
    yield* each(update.contenders, (line) => this.put(line));
    yield* each(update.left, (id) => this.remove(id));
    yield* each(update.spans, (span) => this.addSpan(span));
    yield* each(update.locks_gone, (id) => this.removeLock(id));
    if (update.samples) this.samples = this.samples.concat(update.samples).slice(-SAMPLES);
    if (update.graph) this.graph = update.graph;
    if (update.link) this.link = update.link;
    if (update.health) this.health = update.health;
    this.version++;
  }

  addLock({ id, path }) {
    this.locks.set(id, { id, path, members: [], held: 0 });
  }

  removeLock(id) {
    this.locks.delete(id);
    this.spanCount -= this.spans.get(id)?.length ?? 0;
    this.spans.delete(id);
  }

  put(line) {
    const lock = this.locks.get(line.lock);
    if (!lock) return;
    const known = this.contenders.get(line.id);
    if (known) {
      if (known.held_ms !== undefined) this.count(lock, -1);
      Object.assign(known, line);
    } else {
      this.contenders.set(line.id, line);
      insert(lock.members, line);
    }
    if (line.held_ms !== undefined) this.count(lock, 1);
  }

  remove(id) {
    const line = this.contenders.get(id);
    if (!line) return;
    this.contenders.delete(id);
    const lock = this.locks.get(line.lock);
    if (!lock) return;
    const at = place(lock.members, line);
    if (lock.members[at] === line) lock.members.splice(at, 1);
    if (line.held_ms !== undefined) this.count(lock, -1);
  }

  count(lock, by) {
    lock.held += by;
    this.held += by;
  }

  addSpan(span) {
    let spans = this.spans.get(span.lock);
    if (!spans) this.spans.set(span.lock, (spans = []));
    spans.push(span);
    this.spanCount++;
    const oldest = this.now() - KEPT_MS;
    const old = spans.findIndex((one) => one.to_ms >= oldest);
    const drop = old > 0 ? old : this.spanCount > SPANS ? 1 : 0;
    spans.splice(0, drop);
    this.spanCount -= drop;
  }

  // The holds of a lock, ended ones and those of now, oldest first.
  *holds(lock) {
    yield* this.spans.get(lock.id) ?? [];
    let left = lock.held;
    for (const one of lock.members) {
      if (left === 0) return;
      if (one.held_ms === undefined) continue;
      left--;
      yield { lock: lock.id, contender: one.id, name: title(one), mode: one.mode, from_ms: one.held_ms, to_ms: null, seen: one.seen };
    }
  }
}

function* each(list, take) {
  for (let n = 0; n < (list?.length ?? 0); n++) {
    if (n % PIECE === PIECE - 1) yield;
    take(list[n]);
  }
}

function before(a, b) {
  const [x, y] = [a.sequence ?? -Infinity, b.sequence ?? -Infinity];
  return x < y || (x === y && a.node < b.node);
}

// The first place that does not come before the line; most lines belong at the end.
function place(members, line) {
  let low = 0;
  let high = members.length;
  if (high > 0 && before(members[high - 1], line)) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(members[middle], line)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insert(members, line) {
  members.splice(place(members, line), 0, line);
}

export function title({ who, node }) {
  if (!who) return node;
  if (who.program !== undefined) return `${who.program}${who.id ? ` ${who.id}` : ''} @${who.host} pid ${who.pid}`;
  return who.data ?? `session ${who.session}`;
}

export function span(ms) {
  if (ms < 0) ms = 0;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function clock(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// A new element, with its text; what others say is text everywhere, never markup.
export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
