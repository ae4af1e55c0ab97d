// Regions that a person draws on the picture, and what is measured in them over time.

import { call } from "../api.js";
import { $, all } from "../dom.js";
import { axis, ink, plot } from "../panels/plots.js";
import { shape } from "../picture/picture.js";
import { decimals, fixed, roundStep } from "../units.js";

const PERIOD_MS = 500;
const MOST_POINTS = 1200;
const LABEL_PX = 12; // of a name's line, which stays on the picture
const LEAST_PX = 2; // a smaller region was a click
// Figure, title; those whose optics are not known are not offered.
const FIGURES = [
  ["mean_phase_rad", "Mean (rad)"],
  ["mean_opd_nm", "Mean OPD (nm)"],
  ["spread_phase_rad", "Spread (rad)"],
  ["min_phase_rad", "Min (rad)"],
  ["max_phase_rad", "Max (rad)"],
  ["integrated_phase_rad_px", "Σφ (rad px)"],
  ["dry_mass_pg", "Dry mass (pg)"],
  ["area_um2", "Area (µm²)"],
];

export class RegionsPanel {
  constructor(pictures) {
    this.pictures = pictures;
    this.regions = [];
    this.figures = [];
    this.drawn = null; // what is being drawn: {shape, points}
    this.times = [];
    this.values = new Map();
    /** @type {any} */
    this.chart = null; // of the figures over time
    /** @type {any} */
    this.bars = null; // of the last region's histogram
    this.isAsking = false;
    for (const picture of pictures) picture.extras.push((on) => this.marks(on));
    for (const button of all("[data-region]")) button.addEventListener("click", () => this.take(button));
    $("regions-figure").addEventListener("change", () => this.restart());
    $("regions-list").addEventListener("click", ({ target }) => this.clicked(target));
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.take(null));
    setInterval(() => this.poll(), PERIOD_MS);
  }

  async refresh() {
    const answer = await call("regions").catch(() => null);
    if (answer) this.show(answer);
  }

  async poll() {
    if (this.regions.length === 0 || this.isAsking || document.hidden) return;
    this.isAsking = true;
    await this.refresh();
    this.isAsking = false;
  }

  /** Let the next drag on a picture draw with the tool of `button`; null, or the same again: with none. */
  take(button) {
    const isSame = button?.getAttribute("aria-pressed") === "true";
    for (const one of all("[data-region]")) one.setAttribute("aria-pressed", String(one === button && !isSame));
    const kind = button && !isSame ? button.dataset.region : null;
    for (const picture of this.pictures) picture.tool = kind && this.tool(kind, picture);
    this.drawn = null;
    this.redraw();
  }

  tool(kind, picture) {
    const isPath = kind === "polygon";
    return {
      begin: ({ y, x }) => {
        this.drawn = { shape: kind, points: [[y + 0.5, x + 0.5], ...(isPath ? [] : [[y + 0.5, x + 0.5]])] };
      },
      move: ({ y, x }) => {
        const point = [y + 0.5, x + 0.5];
        const last = this.drawn.points.at(-1);
        if (!isPath) this.drawn.points[1] = point;
        // As many corners as the outline has bends: a hand's path every few pixels of the screen.
        else if (Math.hypot(last[0] - point[0], last[1] - point[1]) * picture.scale > 4) this.drawn.points.push(point);
        this.redraw();
      },
      end: () => this.add(),
    };
  }

  add() {
    const { drawn } = this;
    const [ys, xs] = [0, 1].map((axisOf) => drawn.points.map((point) => point[axisOf]));
    const span = Math.hypot(Math.max(...ys) - Math.min(...ys), Math.max(...xs) - Math.min(...xs));
    const isWhole = span >= LEAST_PX && (drawn.shape !== "polygon" || drawn.points.length >= 3);
    this.take(null);
    if (!isWhole) return;
    const role = drawn.shape === "line" ? "measure" : $("regions-role").value;
    const words = { measure: drawn.shape, background: "background", excluded: "excluded" };
    let number = 1;
    while (this.regions.some(({ name }) => name === `${words[role]} ${number}`)) number += 1;
    this.put([...this.regions, { name: `${words[role]} ${number}`, shape: drawn.shape, points: drawn.points, role }]);
  }

  async put(regions) {
    try {
      this.show(await call("regions", { method: "PUT", json: { regions } }));
      $("regions-answer").textContent = "";
    } catch (error) {
      $("regions-answer").textContent = error.message;
    }
    this.restart();
  }

  clicked(target) {
    const { remove } = target.dataset;
    if (remove !== undefined) this.put(this.regions.filter(({ name }) => name !== remove));
  }

  restart() {
    this.times = [];
    this.values.clear();
    this.lastFrame = null;
  }

  show({ regions, figures, frame }) {
    Object.assign(this, { regions, figures });
    $("regions-resting").textContent = frame?.resting ?? "";
    $("regions-shown").hidden = regions.length === 0;
    $("regions-hint").hidden = regions.length > 0;
    this.offer();
    $("regions-list").replaceChildren(...regions.map((region, i) => this.line(region, i)));
    if (frame && frame.sequence !== this.lastFrame) this.follow(frame);
    this.redraw();
  }

  offer() {
    const known = FIGURES.filter(([name]) => this.figures.some(({ figures }) => figures[name] !== null));
    const select = $("regions-figure");
    const chosen = select.value;
    if (known.map(([name]) => name).join() === [...select.options].map(({ value }) => value).join()) return;
    select.replaceChildren(...known.map(([name, title]) => new Option(title, name)));
    if (known.some(([name]) => name === chosen)) select.value = chosen;
  }

  line(region, index) {
    const line = document.createElement("div");
    const [name, value, remove] = ["dt", "dd", "button"].map((tag) => document.createElement(tag));
    name.textContent = region.name;
    name.style.color = colorOf(region, index);
    const figures = this.figures.find((one) => one.name === region.name)?.figures;
    const chosen = figures?.[$("regions-figure").value];
    value.textContent = region.role === "measure" ? readable(chosen) : region.role;
    Object.assign(remove, { type: "button", className: "small", textContent: "×", title: `Remove ${region.name}` });
    remove.dataset.remove = region.name;
    line.append(name, value, remove);
    return line;
  }

  /** One more moment of the plot, and the histogram of the last region. */
  follow(frame) {
    this.lastFrame = frame.sequence;
    const chosen = $("regions-figure").value;
    this.times.push(frame.captured_ns / 1e9);
    for (const { name, figures } of this.figures) {
      if (!this.values.has(name)) this.values.set(name, new Array(this.times.length - 1).fill(null));
      this.values.get(name).push(figures[chosen]);
    }
    if (this.times.length > MOST_POINTS) {
      this.times.shift();
      for (const values of this.values.values()) values.shift();
    }
    const names = [...this.values.keys()];
    if (names.join() !== this.plotted) {
      this.chart?.destroy();
      this.chart = plot($("regions-plot"), this.options(names), [[], ...names.map(() => [])]);
      this.plotted = names.join();
    }
    const began = this.times[0];
    this.chart.axes[1].label = $("regions-figure").selectedOptions[0]?.text ?? "";
    this.chart.setData([this.times.map((time) => time - began), ...this.values.values()]);
    const last = this.figures.at(-1);
    if (!last) return;
    this.bars ??= plot($("regions-histogram"), HISTOGRAM(), [[], []]);
    const [low, high] = last.edges_rad;
    const step = (high - low) / last.histogram.length;
    this.bars.axes[0].label = `Phase in ${last.name} (rad)`;
    this.bars.setData([last.histogram.map((_, i) => low + (i + 0.5) * step), last.histogram]);
  }

  options(names) {
    const stroke = (name) => colorOf(...this.placeOf(name));
    return {
      padding: [8, 14, 0, 0],
      cursor: { show: false },
      scales: { x: { time: false } },
      axes: [axis({ size: 24, label: "Time (s)" }), axis({ size: 52, label: " ", space: 22 })],
      series: [{}, ...names.map((name) => ({ stroke: stroke(name), width: 1.5, points: { show: false } }))],
    };
  }

  placeOf(name) {
    const index = this.regions.findIndex((region) => region.name === name);
    return [this.regions[index] ?? { role: "measure" }, Math.max(0, index)];
  }

  redraw() {
    for (const picture of this.pictures) picture.drawOverlay();
  }

  marks(picture) {
    const all = [...this.regions, ...(this.drawn ? [{ ...this.drawn, role: "measure", name: "" }] : [])];
    return all.flatMap((region, index) => {
      const stroke = colorOf(region, index);
      const outline = { class: `region ${region.role}`, stroke };
      const on = region.points.map(([y, x]) => picture.onStage(y, x));
      const [xs, ys] = [0, 1].map((i) => on.map((point) => point[i]));
      const [left, top] = [Math.min(...xs), Math.min(...ys)];
      const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
      const label = shape("text", { x: left + 4, y: Math.max(top - 5, LABEL_PX), class: "region-name", fill: stroke }, region.name);
      const ellipse = { cx: left + width / 2, cy: top + height / 2, rx: width / 2, ry: height / 2 };
      const marks = {
        rectangle: () => shape("rect", { x: left, y: top, width, height, ...outline }),
        ellipse: () => shape("ellipse", { ...ellipse, ...outline }),
        polygon: () => shape("polygon", { points: on.map((point) => point.join()).join(" "), ...outline }),
        line: () => shape("polyline", { points: on.map((point) => point.join()).join(" "), ...outline }),
      };
      return [marks[region.shape](), ...(picture.stage.clientWidth < 400 ? [] : [label])];
    });
  }
}

const COLORS = ["#e9c46a", "#6cc7ba", "#9db4e8", "#e58fb1", "#b5d56a", "#d9a37a"];
const colorOf = ({ role }, index) =>
  ({ background: "#8f98a3", excluded: "#ec7367" })[role] ?? COLORS[index % COLORS.length];

/** A figure with about four digits. */
function readable(value) {
  if (value === null || value === undefined) return "–";
  return fixed(value, value === 0 ? 0 : decimals(roundStep(Math.abs(value) / 1000)));
}

const HISTOGRAM = () => ({
  padding: [8, 14, 0, 0],
  cursor: { show: false },
  scales: { x: { time: false }, y: { range: (_, __, most) => [0, 1.05 * (most ?? 1)] } },
  axes: [axis({ size: 24, label: " " }), axis({ size: 52, label: "Pixels", space: 22 })],
  series: [{}, { stroke: ink("rate"), fill: `${ink("rate")}44`, width: 1, points: { show: false } }],
});
