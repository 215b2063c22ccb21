// The timeline: a row for each lock, a bar for each hold. Drawn on a canvas as large as what one sees of it; the list's
// height is made by an empty element beside it, so that the browser scrolls as it scrolls everything.

import { KEPT_MS, clock, span } from './picture.js';

const ROW = 20;
const AXIS = 22;
const SHORTEST_MS = 1000;
const STEPS_S = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300];

const scroll = document.getElementById('timeline-scroll');
const canvas = document.getElementById('timeline-canvas');
const space = document.getElementById('timeline-space');
const note = document.getElementById('timeline-note');
const tip = document.getElementById('timeline-tip');

export class Timeline {
  constructor(picture) {
    this.picture = picture;
    this.chosen = null;
    // What is seen: so many milliseconds, ending now or at a fixed moment.
    this.width_ms = 60 * 1000;
    this.end = null;
    this.pointers = new Map();
    this.rows = [];
    scroll.addEventListener('scroll', () => this.draw(), { passive: true });
    scroll.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    scroll.addEventListener('keydown', (event) => this.key(event));
    for (const name of ['pointerdown', 'pointermove', 'pointerup', 'pointercancel', 'pointerleave']) {
      canvas.addEventListener(name, (event) => this.pointer(name, event));
    }
    for (const button of document.querySelectorAll('[data-zoom]')) {
      button.addEventListener('click', () => this.step(button.dataset.zoom));
    }
  }

  step(what) {
    if (what === 'now') this.end = null;
    else this.zoom(what === 'in' ? 0.5 : 2, 1);
    this.draw();
  }

  // Zooms around a place, from 0 at the left to 1 at the right. What follows the present goes on to follow it.
  zoom(factor, at) {
    const end = this.end ?? this.picture.now();
    const fixed = end - this.width_ms * (1 - at);
    this.width_ms = Math.min(KEPT_MS, Math.max(SHORTEST_MS, this.width_ms * factor));
    if (this.end !== null || at < 0.9) this.moveTo(fixed + this.width_ms * (1 - at));
  }

  moveTo(end) {
    const now = this.picture.now();
    this.end = end >= now ? null : Math.max(end, now - KEPT_MS + this.width_ms);
  }

  pan(ms) {
    this.moveTo((this.end ?? this.picture.now()) + ms);
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY) && !event.altKey) {
      // Plain wheels scroll the rows, where there is something to scroll to.
      if (scroll.scrollHeight > scroll.clientHeight && !event.shiftKey) return;
    }
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan((event.deltaX / box.width) * this.width_ms);
    else this.zoom(event.deltaY > 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width);
    this.draw();
  }

  key(event) {
    const acts = {
      ArrowLeft: () => this.pan(-this.width_ms / 5),
      ArrowRight: () => this.pan(this.width_ms / 5),
      '+': () => this.zoom(0.5, 1),
      '=': () => this.zoom(0.5, 1),
      '-': () => this.zoom(2, 1),
      0: () => (this.end = null),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
    this.draw();
  }

  // One finger or the mouse moves, two fingers zoom.
  pointer(name, event) {
    if (name === 'pointerdown') {
      this.pointers.set(event.pointerId, event.clientX);
      canvas.setPointerCapture(event.pointerId);
    } else if (name === 'pointermove' && this.pointers.has(event.pointerId)) {
      const was = [...this.pointers.values()];
      const moved = event.clientX - this.pointers.get(event.pointerId);
      this.pointers.set(event.pointerId, event.clientX);
      const is = [...this.pointers.values()];
      const box = canvas.getBoundingClientRect();
      if (is.length === 1) this.pan((-moved / box.width) * this.width_ms);
      if (is.length === 2) {
        const apart = (xs) => Math.max(10, Math.abs(xs[0] - xs[1]));
        this.zoom(apart(was) / apart(is), ((is[0] + is[1]) / 2 - box.left) / box.width);
      }
      this.draw();
    } else if (name === 'pointermove') {
      this.tell(event);
    } else {
      this.pointers.delete(event.pointerId);
    }
    if (name === 'pointerdown') this.tell(event);
  }

  tell(event) {
    const box = canvas.getBoundingClientRect();
    const at = this.from + ((event.clientX - box.left) / box.width) * this.width_ms;
    const lock = this.rows[Math.floor((event.clientY - box.top - AXIS + scroll.scrollTop) / ROW)];
    if (!lock || event.clientY - box.top < AXIS) return;
    // A bar is at least two points wide.
    const near = (2 / box.width) * this.width_ms;
    let found = null;
    for (const hold of this.picture.holds(lock)) {
      if (hold.from_ms - near <= at && (hold.to_ms ?? Infinity) + near >= at) found = hold;
    }
    const text = found
      ? `${lock.path}: ${found.name}, ${found.mode}, from ${clock(found.from_ms)}, ${found.seen ? '' : 'at most '}${span((found.to_ms ?? this.picture.now()) - found.from_ms)}${found.to_ms === null ? ' so far' : ''}`
      : `${lock.path}: free at ${clock(at)}`;
    if (tip.textContent !== text) tip.textContent = text;
  }

  // Locks that were held in what is seen; the chosen one first.
  choose() {
    const [from, to] = [this.from, this.from + this.width_ms];
    const held = (lock) => {
      if (lock.held > 0) {
        const first = lock.members.find((one) => one.held_ms !== undefined);
        if (first && first.held_ms <= to) return true;
      }
      const spans = this.picture.spans.get(lock.id);
      return spans !== undefined && spans.some((one) => one.to_ms >= from && one.from_ms <= to);
    };
    const rows = [...this.picture.locks.values()].filter((lock) => lock.id === this.chosen || held(lock));
    const rank = (lock) => (lock.id === this.chosen ? 0 : 1);
    rows.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
    this.rows = rows;
  }

  draw() {
    const now = this.picture.now();
    this.from = (this.end ?? now) - this.width_ms;
    this.choose();
    space.style.height = `${AXIS + this.rows.length * ROW + 4}px`;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (width === 0) return;
    const pen = penFor(canvas, width, height);
    const colours = coloursNow();
    const x = (ms) => ((ms - this.from) / this.width_ms) * width;
    this.drawAxis(pen, colours, x, width, height);
    pen.save();
    pen.beginPath();
    pen.rect(0, AXIS, width, height - AXIS);
    pen.clip();
    const first = Math.floor(scroll.scrollTop / ROW);
    const last = Math.min(this.rows.length, first + Math.ceil(height / ROW) + 1);
    for (let n = first; n < last; n++) {
      this.drawRow(pen, colours, this.rows[n], AXIS + n * ROW - scroll.scrollTop, x, width, now);
    }
    pen.restore();
    // For whoever reads the picture by program.
    Object.assign(canvas.dataset, { from: this.from, width: this.width_ms, row: ROW, axis: AXIS });
    const until = this.end === null ? 'now' : clock(this.end);
    const text = `${span(this.width_ms)} until ${until}, ${this.rows.length} locks`;
    if (note.textContent !== text) note.textContent = text;
  }

  drawRow(pen, colours, lock, top, x, width, now) {
    if (lock.id === this.chosen) {
      pen.fillStyle = colours.mark;
      pen.fillRect(0, top, width, ROW);
    }
    let drawn = -1;
    const named = 10 + Math.min(width / 3, lock.path.length * 6.5);
    for (const hold of this.picture.holds(lock)) {
      const right = x(hold.to_ms ?? now);
      if (right < 0) continue;
      const left = Math.max(0, x(hold.from_ms));
      if (left > width) continue;
      // Bars that fall on the same point of the screen are drawn once.
      if (right <= drawn) continue;
      const end = Math.max(right, left + 2);
      pen.fillStyle = hold.mode === 'shared' ? colours.share : colours.own;
      pen.globalAlpha = hold.seen ? 1 : 0.55;
      pen.fillRect(left, top + 3, Math.max(1, Math.min(end, width) - left - 1), ROW - 6);
      pen.globalAlpha = 1;
      // Right of the lock's own name.
      const start = Math.max(left + 4, named);
      if (end - start > 60) label(pen, hold.name, start, top + ROW / 2, end - start - 4, colours.card);
      drawn = end;
    }
    label(pen, lock.path, 4, top + ROW / 2, width / 3, colours.text, colours.card);
  }

  drawAxis(pen, colours, x, width, height) {
    const step = 1000 * (STEPS_S.find((one) => (one * 1000 * width) / this.width_ms > 70) ?? 600);
    pen.strokeStyle = colours.line;
    pen.fillStyle = colours.soft;
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    pen.textBaseline = 'middle';
    pen.beginPath();
    for (let at = Math.ceil(this.from / step) * step; at < this.from + this.width_ms; at += step) {
      const left = Math.round(x(at)) + 0.5;
      pen.moveTo(left, AXIS - 4);
      pen.lineTo(left, height);
      const part = step < 1000 ? `.${Math.floor((at % 1000) / 100)}` : '';
      pen.fillText(clock(at) + part, left + 3, AXIS / 2);
    }
    pen.globalAlpha = 0.6;
    pen.stroke();
    pen.globalAlpha = 1;
  }
}

function label(pen, text, left, middle, width, colour, behind) {
  pen.save();
  pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
  pen.textBaseline = 'middle';
  let shown = text;
  const fits = Math.floor(width / 6.5);
  if (shown.length > fits) shown = `…${shown.slice(Math.max(0, shown.length - fits + 1))}`;
  if (behind) {
    pen.globalAlpha = 0.8;
    pen.fillStyle = behind;
    pen.fillRect(left - 2, middle - 7, pen.measureText(shown).width + 4, 14);
    pen.globalAlpha = 1;
  }
  pen.fillStyle = colour;
  pen.fillText(shown, left, middle);
  pen.restore();
}

// A cleared canvas at the screen's own resolution.
export function penFor(of, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (of.width !== w || of.height !== h) [of.width, of.height] = [w, h];
  const pen = of.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

let colours = null;
export function coloursNow() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const names = ['text', 'soft', 'line', 'mark', 'card', 'own', 'share', 'wait', 'bad'];
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}

export function forgetColours() {
  colours = null;
}
