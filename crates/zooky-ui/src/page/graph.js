// The wait-for graph: who waits stands to the right of whom it waits for; deadlocks in red, on a circle.

import { element } from './picture.js';

const [WIDE, HIGH, COLUMN, LINE] = [210, 26, 290, 44];
const svg = document.getElementById('graph-svg');

export class Graph {
  constructor(picture) {
    this.picture = picture;
    this.drawn = null;
  }

  draw() {
    const graph = this.picture.graph;
    if (graph === this.drawn) return;
    this.drawn = graph;
    document.getElementById('cycles').replaceChildren(...graph.cycles.map((cycle) => element('li', '', `Deadlock: ${cycle}`)));
    const left = graph.all_edges - graph.edges.length;
    const note = graph.all_edges === 0 ? 'nobody waits' : left > 0 ? `${graph.edges.length} of ${graph.all_edges} waits` : `${graph.all_edges} waits`;
    document.getElementById('graph-note').textContent = note;
    const places = layOut(graph);
    const [right, bottom] = places.reduce(([x, y], at) => [Math.max(x, at.x), Math.max(y, at.y)], [0, 0]);
    svg.setAttribute('width', graph.nodes.length ? right + WIDE + 20 : 0);
    svg.setAttribute('height', graph.nodes.length ? bottom + HIGH + 20 : 0);
    svg.replaceChildren(
      tip('tip', ''),
      tip('tip-stuck', 'stuck'),
      ...graph.edges.flatMap((edge) => wait(edge, places)),
      ...graph.nodes.map((node, n) => box(node, places[n])),
    );
  }
}

// Whoever waits for nobody stands at the left; each other one stands right of the nearest it waits for. Those of deadlocks
// come first.
function layOut({ nodes, edges }) {
  const waitsFor = nodes.map(() => []);
  const waiters = nodes.map(() => []);
  for (const { from, to } of edges) {
    waitsFor[from].push(to);
    waiters[to].push(from);
  }
  const places = nodes.map(() => null);
  const stuck = nodes.map((node, n) => (node.stuck ? n : -1)).filter((n) => n >= 0);
  let top = 10;
  if (stuck.length) {
    const radius = Math.max(60, stuck.length * 22);
    const order = alongTheCircle(stuck, edges);
    order.forEach((n, at) => {
      const angle = (2 * Math.PI * at) / order.length - Math.PI / 2;
      places[n] = { x: 10 + (WIDE + 30) * (1 + Math.cos(angle)) * 0.7, y: top + radius * (1 + Math.sin(angle)) };
    });
    top += radius * 2 + LINE + 10;
  }
  const column = nodes.map((node) => (node.stuck ? 0 : -1));
  let reached = nodes.map((_, n) => n).filter((n) => !nodes[n].stuck && waitsFor[n].length === 0);
  for (const n of reached) column[n] = 0;
  reached = reached.concat(stuck);
  while (reached.length) {
    const next = [];
    for (const n of reached) {
      for (const waiter of waiters[n]) {
        if (column[waiter] >= 0) continue;
        column[waiter] = column[n] + 1;
        next.push(waiter);
      }
    }
    reached = next;
  }
  // Row by row: each holder with its waiters beside it, as many rows as its longest column takes.
  const filled = [];
  nodes.forEach((_, n) => {
    if (places[n]) return;
    const at = Math.max(0, column[n]);
    filled[at] = (filled[at] ?? top) + (filled[at] === undefined ? 0 : LINE);
    places[n] = { x: 10 + at * COLUMN, y: filled[at] };
  });
  return places;
}

function alongTheCircle(stuck, edges) {
  const order = [];
  const left = new Set(stuck);
  while (left.size) {
    let at = [...left][0];
    while (at !== undefined) {
      left.delete(at);
      order.push(at);
      at = edges.find((edge) => edge.stuck && edge.from === at && left.has(edge.to))?.to;
    }
  }
  return order;
}

function made(name, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function tip(id, className) {
  const marker = made('marker', { id, class: className, viewBox: '0 0 8 8', refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: 'userSpaceOnUse', orient: 'auto-start-reverse' });
  marker.append(made('path', { d: 'M0 0 L8 4 L0 8 z' }));
  return marker;
}

function box(node, at) {
  const group = made('g', { class: node.stuck ? 'owner stuck' : 'owner', transform: `translate(${at.x} ${at.y})` });
  const short = node.name.length > 30 ? `${node.name.slice(0, 29)}…` : node.name;
  group.append(made('rect', { width: WIDE, height: HIGH, rx: 4 }), made('text', { x: 8, y: 17 }, short), made('title', {}, node.name));
  return group;
}

function wait(edge, places) {
  const [a, b] = [places[edge.from], places[edge.to]];
  // From the side that faces the other one.
  const rightward = a.x + WIDE < b.x;
  const leftward = b.x + WIDE < a.x;
  const [x1, x2] = rightward ? [a.x + WIDE, b.x] : leftward ? [a.x, b.x + WIDE] : [a.x + WIDE / 2, b.x + WIDE / 2];
  const aside = rightward || leftward;
  const down = a.y < b.y;
  const [y1, y2] = aside ? [a.y + HIGH / 2, b.y + HIGH / 2] : down ? [a.y + HIGH, b.y] : [a.y, b.y + HIGH];
  const bend = aside ? 0 : (down ? 1 : -1) * 30;
  const middle = [(x1 + x2) / 2 + bend, (y1 + y2) / 2];
  const stuck = edge.stuck ? ' stuck' : '';
  const line = made('path', { class: `wait${stuck}`, d: `M${x1} ${y1} Q${middle[0]} ${middle[1]} ${x2} ${y2}`, 'marker-end': edge.stuck ? 'url(#tip-stuck)' : 'url(#tip)' });
  const short = edge.lock.length > 22 ? `…${edge.lock.slice(-21)}` : edge.lock;
  const label = made('text', { class: 'lock', x: aside ? middle[0] : middle[0] + (down ? -6 : 6), y: middle[1] - 3, 'text-anchor': aside ? 'middle' : down ? 'start' : 'end' }, short);
  line.append(made('title', {}, edge.lock));
  return [line, label];
}
