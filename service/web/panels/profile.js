// Phase along a line that a person drew.

import { all, one } from "../dom.js";
import { axis, ink, plot } from "./plots.js";
import { fixed } from "../units.js";

const REDRAW_MS = 90;

/**
 * The phase in rad along `line`, about one sample a pixel, and each sample's distance from its start in camera pixels.
 *
 * Unwrapped phase is interpolated between the four pixels around; wrapped phase, whose jumps mean nothing, is taken
 * from the nearest pixel.
 */
export function sampleLine(layer, values, line, interpolates) {
  const block = layer.header.downscale;
  const inLayer = (position) => (position + 0.5) / block - 0.5;
  const [y0, x0, y1, x1] = [line.y0, line.x0, line.y1, line.x1].map(inLayer);
  const steps = Math.max(1, Math.round(Math.max(Math.abs(y1 - y0), Math.abs(x1 - x0))));
  const length = Math.hypot(line.y1 - line.y0, line.x1 - line.x0);
  const distances = new Array(steps + 1);
  const phases = new Array(steps + 1);
  for (let i = 0; i <= steps; i += 1) {
    const y = clamp(y0 + ((y1 - y0) * i) / steps, layer.height - 1);
    const x = clamp(x0 + ((x1 - x0) * i) / steps, layer.width - 1);
    distances[i] = (length * i) / steps;
    phases[i] = interpolates
      ? between(values, layer.width, layer.height, y, x)
      : values[Math.round(y) * layer.width + Math.round(x)];
  }
  return { distances, phases };
}

const clamp = (value, most) => Math.min(most, Math.max(0, value));

function between(values, width, height, y, x) {
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [down, right] = [y - top, x - left];
  const at = (row, column) => values[Math.min(row, height - 1) * width + Math.min(column, width - 1)];
  const upper = right ? at(top, left) * (1 - right) + at(top, left + 1) * right : at(top, left);
  if (!down) return upper;
  const lower = right ? at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right : at(top + 1, left);
  return upper * (1 - down) + lower * down;
}

/** The plot under the pictures. */
export class Profile {
  constructor() {
    this.host = one("#profile-plot");
    this.note = one("#profile-note");
    this.buttons = all("#profile-csv, #profile-clear");
    this.hint = one("#profile-hint");
    this.chart = null;
    this.drawnAt = 0;
    this.clear();
  }

  clear() {
    Object.assign(this, { rows: null });
    this.host.classList.add("empty");
    this.hint.hidden = false;
    for (const button of this.buttons) button.hidden = true;
    this.note.textContent = "";
  }

  /** Plot phase along `line`; a live picture redraws it at a pace that eyes can follow. `scale`: {quantity, unit, perRad, digits}. */
  show(layer, values, line, interpolates, scale, isUrgent) {
    if (!isUrgent && performance.now() - this.drawnAt < REDRAW_MS) return;
    this.drawnAt = performance.now();
    const { header } = layer;
    const umPerPixel = header.object_pixel_m ? (header.object_pixel_m / header.downscale) * 1e6 : null;
    const { distances, phases } = sampleLine(layer, values, line, interpolates);
    this.labels = [`Distance (${umPerPixel ? "µm" : "px"})`, `${scale.quantity} (${scale.unit})`];
    this.rows = [distances.map((px) => px * (umPerPixel ?? 1)), phases.map((phase) => phase * scale.perRad)];
    this.scale = scale;
    this.draw();
  }

  draw() {
    this.host.classList.remove("empty");
    this.hint.hidden = true;
    for (const button of this.buttons) button.hidden = false;
    this.chart ??= plot(this.host, this.options(), this.rows);
    this.chart.axes[0].label = this.labels[0];
    this.chart.axes[1].label = this.labels[1];
    this.chart.setData(this.rows);
    this.describe(this.chart.cursor.idx);
  }

  options() {
    return {
      padding: [8, 14, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: false } },
      axes: [axis({ size: 24, label: " " }), axis({ size: 44, label: " ", space: 22 })],
      series: [{}, { stroke: ink("profile"), width: 1.75, points: { show: false } }],
      hooks: { setCursor: [(chart) => this.describe(chart.cursor.idx)] },
    };
  }

  describe(index) {
    if (!this.rows) return;
    const [distances, values] = this.rows;
    const unit = this.labels[0].match(/\((.*)\)/)[1];
    if (index === null || index === undefined) {
      const step = fixed(values.at(-1) - values[0], this.scale.digits + 1);
      this.note.textContent = `A → B: ${fixed(distances.at(-1), 1)} ${unit}, B − A = ${step} ${this.scale.unit}`;
    } else {
      this.note.textContent = `${fixed(distances[index], 1)} ${unit}: ${fixed(values[index], this.scale.digits + 1)} ${this.scale.unit}`;
    }
  }

  /** The plotted values as comma-separated text with a line of names and units. */
  csv() {
    const lines = this.rows[0].map((distance, i) => `${distance},${this.rows[1][i]}`);
    return [this.labels.map((label) => label.replace("µ", "u")).join(","), ...lines, ""].join("\n");
  }
}
