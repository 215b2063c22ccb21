// Small plots over the last minutes, from the samples of each second.

import { element, span } from './picture.js';
import { coloursNow, penFor } from './timeline.js';

const SHOWN_MS = 5 * 60 * 1000;
const count = (n) => String(Math.round(n));

const PLOTS = [
  { title: 'Contenders', form: count, lines: [['held', 'own', 'holding'], ['waiting', 'wait', 'waiting']] },
  { title: 'Grants in a second', form: count, lines: [['grants', 'own', 'granted']] },
  { title: 'Waited until granted', form: span, lines: [['wait_max_ms', 'bad', 'longest'], ['wait_ms', 'wait', 'median']] },
  { title: 'Hand-offs and holds', form: span, lines: [['turn_ms', 'share', 'from one grant to the next, median'], ['hold_ms', 'own', 'held, median']] },
];

export class Plots {
  constructor(picture) {
    this.picture = picture;
    const grid = document.getElementById('plot-grid');
    this.made = PLOTS.map((plot) => {
      const box = element('div', 'plot');
      const canvas = element('canvas');
      canvas.setAttribute('role', 'img');
      const key = element('div', 'key');
      box.append(element('h3', '', plot.title), canvas, key);
      grid.append(box);
      return { ...plot, canvas, key };
    });
  }

  draw() {
    for (const plot of this.made) this.drawOne(plot);
  }

  drawOne({ title, form, lines, canvas, key }) {
    const now = this.picture.now();
    const samples = this.picture.samples.filter((one) => one.at_ms > now - SHOWN_MS);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (width === 0) return;
    const pen = penFor(canvas, width, height);
    const colours = coloursNow();
    const values = samples.flatMap((one) => lines.map(([name]) => one[name] ?? 0));
    const top = Math.max(1, ...values);
    const x = (ms) => width - ((now - ms) / SHOWN_MS) * width;
    const y = (value) => height - 2 - (value / top) * (height - 18);
    pen.strokeStyle = colours.line;
    pen.strokeRect(0.5, 0.5, width - 1, height - 1);
    pen.fillStyle = colours.soft;
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    pen.fillText(form(top), 5, 13);
    for (const [name, colour] of lines) {
      pen.strokeStyle = pen.fillStyle = colours[colour];
      pen.lineWidth = 1.5;
      pen.beginPath();
      let open = false;
      for (const one of samples) {
        const value = one[name];
        // Where nothing was measured there is a gap; a value between two gaps is a dot.
        if (value === null || value === undefined) {
          open = false;
          continue;
        }
        if (open) pen.lineTo(x(one.at_ms), y(value));
        else {
          pen.moveTo(x(one.at_ms), y(value));
          pen.fillRect(x(one.at_ms) - 1, y(value) - 1, 2, 2);
        }
        open = true;
      }
      pen.stroke();
    }
    const latest = lines.map(([name, colour, label]) => {
      const measured = samples.findLast((one) => one[name] !== null && one[name] !== undefined);
      return { colour, text: `${label} ${measured ? form(measured[name]) : '–'}` };
    });
    const text = latest.map((one) => one.text).join(', ');
    if (key.dataset.text === text) return;
    key.dataset.text = text;
    canvas.setAttribute('aria-label', `${title}: ${text}`);
    key.replaceChildren(
      ...latest.flatMap(({ colour, text }) => {
        const mark = element('i');
        mark.style.background = `var(--${colour})`;
        return [mark, `${text}  `];
      }),
    );
  }
}
