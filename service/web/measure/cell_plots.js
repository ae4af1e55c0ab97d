// Any figure of the cells over any other, or how often its values occur; a click on a point selects its cell.

import { $ } from "../dom.js";
import { axis, ink, plot } from "../panels/plots.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";

const COUNT = "count"; // in place of a figure: how many cells there are of each value
const HIDDEN = ["label", "parent", "merged", "cut", "uncertain", "alpha_um3_per_pg"];
const WANTED = [
  ["dry_mass_pg", "integrated_phase_rad_px"],
  ["area_um2", "area_px"],
];
// What a column's name ends with, and how that unit is written; the longer ones first.
const UNITS = [
  ["_rad_px", "rad px"],
  ["_pg_um2", "pg/µm²"],
  ["_per_h", "1/h"],
  ["_um2", "µm²"],
  ["_rad", "rad"],
  ["_px", "px"],
  ["_um", "µm"],
  ["_nm", "nm"],
  ["_fl", "fL"],
  ["_pg", "pg"],
  ["_s", "s"],
];
const NEAR_PX = 12;
const [LEAST_BINS, MOST_BINS] = [5, 30];

export class CellPlots {
  /** `onPick` is told the id of the cell whose point was clicked. */
  constructor(onPick) {
    this.onPick = onPick;
    /** @type {any} */
    this.chart = null;
    this.points = [];
    this.cells = [];
    this.selected = null;
    for (const select of this.selects)
      select.addEventListener("change", () => {
        this.draw();
        select.blur();
      });
    $("cells-plot").addEventListener("click", (event) => this.clicked(event));
  }

  get selects() {
    return [$("cells-plot-y"), $("cells-plot-x")];
  }

  /** Plot these rows of the table; `columns` are its names. */
  show(cells, columns, selected) {
    Object.assign(this, { cells, selected });
    const offered = Object.keys(columns).filter((name) => !HIDDEN.includes(name));
    if (offered.join() !== this.offered) this.offer(offered);
    this.offered = offered.join();
    this.draw();
  }

  offer(names) {
    this.selects.forEach((select, i) => {
      const before = select.value;
      const options = names.map((name) => new Option(titleOf(name), name));
      select.replaceChildren(...(i === 0 ? [new Option("Number of cells", COUNT)] : []), ...options);
      const isThere = [...select.options].some(({ value }) => value === before);
      select.value = isThere ? before : WANTED[i].find((name) => names.includes(name));
    });
  }

  draw() {
    const [y, x] = this.selects.map((select) => select.value);
    if (!y || !x || $("cells-shown").hidden) return;
    const [look, titles] = [`${y} ${x}`, this.selects.map((select) => select.selectedOptions[0].text)];
    if (look !== this.look) this.chart?.destroy();
    if (look !== this.look) this.chart = plot($("cells-plot"), (y === COUNT ? BARS : POINTS)(titles), [[], [], []]);
    this.look = look;
    this.chart.setData(y === COUNT ? this.histogram(x) : this.scatter(y, x));
  }

  scatter(y, x) {
    this.points = this.cells
      .map((cell) => ({ id: cell.id, x: cell[x], y: cell[y] }))
      .filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y))
      .sort((a, b) => a.x - b.x); // as the library wants them
    const chosen = this.points.map(({ id, y: value }) => (id === this.selected ? value : null));
    return [this.points.map((point) => point.x), this.points.map((point) => point.y), chosen];
  }

  histogram(x) {
    this.points = [];
    const values = this.cells.map((cell) => cell[x]).filter(Number.isFinite);
    if (values.length === 0) return [[], [], []];
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const bins = Math.min(MOST_BINS, Math.max(LEAST_BINS, Math.ceil(Math.sqrt(values.length))));
    const width = (most - least) / bins || 1;
    const binOf = (value) => Math.min(bins - 1, Math.floor((value - least) / width));
    const counts = new Array(bins).fill(0);
    for (const value of values) counts[binOf(value)] += 1;
    const own = this.cells.find(({ id }) => id === this.selected)?.[x];
    const chosen = counts.map((count, i) => (Number.isFinite(own) && binOf(own) === i ? count : null));
    return [counts.map((_, i) => least + (i + 0.5) * width), counts, chosen];
  }

  clicked(event) {
    if (!this.chart || this.points.length === 0) return;
    const box = this.chart.over.getBoundingClientRect();
    const distances = this.points.map(({ x, y }) =>
      Math.hypot(
        this.chart.valToPos(x, "x") - (event.clientX - box.left),
        this.chart.valToPos(y, "y") - (event.clientY - box.top),
      ),
    );
    const nearest = distances.indexOf(Math.min(...distances));
    if (distances[nearest] <= NEAR_PX) this.onPick(this.points[nearest].id);
  }
}

/** A column's name for people: `dry_mass_pg` is "Dry mass (pg)". */
export function titleOf(name) {
  const [ending, unit] = UNITS.find(([end]) => name.endsWith(end)) ?? ["", ""];
  const words = name.slice(0, name.length - ending.length).replaceAll("_", " ").replace("opd", "OPD");
  return `${words[0].toUpperCase()}${words.slice(1)}${unit && ` (${unit})`}`;
}

const LOOK = ([y, x]) => ({
  padding: [8, 14, 0, 0],
  cursor: { show: false },
  axes: [axis({ size: 24, label: x }), axis({ size: 52, label: y, space: 22 })],
});

const POINTS = (titles) => {
  const dots = (color, size) => ({
    paths: () => null,
    stroke: color,
    points: { show: true, size, width: 1, stroke: color, fill: size > 6 ? color : `${color}66` },
  });
  return {
    ...LOOK(titles),
    scales: { x: { time: false, range: roomy }, y: { range: roomy } },
    series: [{}, dots(ink("rate"), 6), dots(ink("profile"), 10)],
  };
};

const BARS = (titles) => {
  const bars = (color) => ({
    paths: uPlot.paths.bars({ size: [0.9, 60] }),
    stroke: color,
    fill: `${color}88`,
    width: 1,
    points: { show: false },
  });
  return {
    ...LOOK(titles),
    scales: { x: { time: false, range: roomy }, y: { range: (_, __, most) => [0, 1.1 * (most || 1)] } },
    series: [{}, bars(ink("rate")), bars(ink("profile"))],
  };
};

/** Room around the outermost points, so that none is cut. */
function roomy(_, least, most) {
  if (least === null) return [0, 1];
  const room = 0.08 * (most - least) || Math.abs(most) * 0.1 || 1;
  return [least - room, most + room];
}
