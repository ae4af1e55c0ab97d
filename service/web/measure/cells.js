// The cells of the newest frame: outlines over the picture, a table that sorts, plots, what a cell has weighed so far.

import { addressOf, call } from "../api.js";
import { $, all } from "../dom.js";
import { axis, ink, plot } from "../panels/plots.js";
import { CellPlots } from "./cell_plots.js";
import { shape } from "../picture/picture.js";
import { fixed, typed } from "../units.js";

const PERIOD_MS = 500;
const KNOWN_PER_H = 1; // a growth rate with a larger error says nothing yet: that takes minutes to hours
// Files that not every service can write.
const MORE_FILES = { "table.parquet": "Parquet", "labels.zarr.zip": "Labels (Zarr)" };
// Column, title, decimals, and what stands in for it while the optics are not known.
const COLUMNS = [
  ["id", "Id", 0],
  ["dry_mass_pg", "Mass (pg)", 1, "integrated_phase_rad_px", "Σφ (rad px)"],
  ["dry_mass_error_pg", "± (pg)", 1, "integrated_phase_error_rad_px", "± (rad px)"],
  ["area_um2", "Area (µm²)", 1, "area_px", "Area (px)"],
  ["dry_mass_density_pg_um2", "pg/µm²", 3, "mean_phase_rad", "Mean (rad)"],
  ["circularity", "Circ.", 2],
  ["growth_per_h", "Growth (1/h)", 2],
];

export class CellsPanel {
  /** `pictures` get the outlines; a click on one selects its cell. */
  constructor(pictures) {
    this.pictures = pictures;
    this.answer = null;
    this.selected = null;
    this.order = { column: "id", falls: false };
    this.isAsking = false;
    this.isLate = false;
    this.isHeld = false; // as long as the picture is frozen, so that outlines and table are of that moment
    this.isElsewhere = false; // the picture is a recording's, and the cells are those of the live frames
    this.history = null;
    /** @type {any} */
    this.chart = null; // of the selected cell's mass
    this.lines = new Map(); // of the table, by id
    this.plots = new CellPlots((id) => this.select(id));
    for (const picture of pictures) picture.extras.push((on) => this.marks(on));
    $("cells-find").addEventListener("change", ({ target }) => this.choose({ finds_cells: target.checked }));
    $("cells-alpha").addEventListener("change", ({ target }) => this.choose({ alpha_um3_per_pg: typed(target.value) }));
    $("cells-least").addEventListener("change", ({ target }) => this.choose({ least_px: typed(target.value) }));
    $("cells-forget").addEventListener("click", () => this.forget());
    $("cells-table").addEventListener("click", (event) => this.clicked(event));
    $("cells-table").addEventListener("keydown", (event) => event.key === "Enter" && this.clicked(event));
    for (const picture of pictures) picture.stage.addEventListener("click", (event) => this.picked(picture, event));
    setInterval(() => this.poll(), PERIOD_MS);
  }

  get isOn() {
    return $("cells-find").checked;
  }

  async refresh() {
    const choice = await call("cells/choice").catch(() => null);
    if (!choice) return;
    $("cells-find").checked = choice.finds_cells;
    $("cells-alpha").value = choice.alpha_um3_per_pg;
    $("cells-least").value = choice.least_px;
    this.showOff();
  }

  async choose(part) {
    try {
      await call("cells/choice", { method: "PUT", json: { ...(await call("cells/choice")), ...part } });
      this.say("");
    } catch (error) {
      this.say(error.message);
    }
    await this.refresh();
    this.poll();
  }

  async forget() {
    await call("cells/forget", { method: "POST" }).catch((error) => this.say(error.message));
    this.select(null);
  }

  say(sentence) {
    $("cells-answer").textContent = sentence;
  }

  showOff() {
    $("cells-shown").hidden = !this.isOn;
    if (this.isOn) return;
    this.answer = null;
    $("cells-count").textContent = "";
    this.redraw();
  }

  async poll() {
    if (!this.isOn || this.isAsking || this.isHeld || document.hidden) return;
    this.isAsking = true;
    try {
      const answer = await call("cells?outlines=true");
      if (this.isHeld) return;
      this.answer = answer;
      if (this.isLate) this.say("");
      this.isLate = false;
      this.show();
    } catch (error) {
      // A machine with much to do may be late once: the table of a moment ago stands.
      if (this.isLate || !this.answer) this.say(error.message);
      this.isLate = true; // until the next table
    } finally {
      this.isAsking = false;
    }
  }

  show() {
    const { count, confluence, frame, cells, files } = this.answer;
    const doubtful = cells.filter(({ uncertain }) => uncertain).length;
    const doubt = doubtful ? `, ${doubtful} of uncertain mass` : "";
    $("cells-count").textContent =
      `${count} cells, ${fixed(100 * confluence, 1)} % covered, ${fixed(frame.took_ms, 0)} ms${doubt}`;
    $("cells-count").title = `Of frame ${frame.sequence}`;
    $("cells-missing").hidden = frame.missing.length === 0;
    $("cells-missing").textContent = `Enter ${frame.missing.join(" and ")} under Camera, Change the optics, for µm² and pg.`;
    if (!$("cells-files").hasChildNodes()) $("cells-files").append(...files.filter((name) => MORE_FILES[name]).map(link));
    const columns = COLUMNS.map(([name, title, digits, other, otherTitle]) =>
      other && cells.length && !(name in cells[0]) ? [other, otherTitle, 1] : [name, title, digits],
    );
    const sorted = [...cells].sort((a, b) => compare(a, b, this.order));
    const [head, body] = [$("cells-table").tHead.rows[0], $("cells-table").tBodies[0]];
    const look = JSON.stringify([columns, this.order]);
    if (look !== this.look) head.replaceChildren(...columns.map((column) => this.head(column)));
    this.look = look;
    // Lines stay where they are while the order does: whoever is about to press one shall meet it.
    const lines = sorted.map((cell) => this.line(cell, columns));
    const isSame = lines.length === body.rows.length && lines.every((line, i) => line === body.rows[i]);
    if (!isSame) body.replaceChildren(...lines);
    this.lines = new Map(lines.map((line) => [Number(line.dataset.id), line]));
    this.plots.show(cells, this.answer.columns, this.selected);
    this.redraw();
    if (this.selected !== null) this.weigh();
  }

  /** @param {any[]} column */
  head([name, title]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: title, title: this.answer.columns[name] ?? "" });
    button.dataset.column = name;
    cell.ariaSort = this.order.column === name ? (this.order.falls ? "descending" : "ascending") : "none";
    cell.append(button);
    return cell;
  }

  line(cell, columns) {
    const line = this.lines.get(cell.id) ?? document.createElement("tr");
    line.dataset.id = cell.id;
    line.tabIndex = 0;
    line.ariaSelected = String(cell.id === this.selected);
    line.classList.toggle("doubtful", cell.uncertain);
    line.title = cell.uncertain ? "The background around this cell is in doubt: its mass may be off by more than 5 %." : "";
    while (line.cells.length < columns.length) line.insertCell();
    columns.forEach(([name, , digits], i) => {
      const isKnown = name !== "growth_per_h" || cell.growth_error_per_h <= KNOWN_PER_H;
      const text = name === "id" ? String(cell.id) : fixed(isKnown ? cell[name] : null, digits);
      if (line.cells[i].textContent !== text) line.cells[i].textContent = text;
    });
    return line;
  }

  clicked({ target }) {
    const { column } = target.dataset;
    if (column) {
      this.order = { column, falls: this.order.column === column && !this.order.falls };
      this.show();
    }
    const line = target.closest("tbody tr");
    if (line) this.select(Number(line.dataset.id));
  }

  /** A click on the picture selects the cell under it. */
  picked(picture, event) {
    if (!this.answer?.outlines || !this.isOn || this.isElsewhere || event.target.closest("button")) return;
    const { y, x } = picture.pixelUnder(event);
    const index = this.answer.outlines.findIndex((corners) => isInside(corners, y + 0.5, x + 0.5));
    if (index >= 0) this.select(this.answer.cells[index].id);
  }

  select(id) {
    this.selected = id;
    this.history = null;
    for (const line of all("#cells-table tbody tr")) {
      line.ariaSelected = String(Number(line.dataset.id) === id);
      if (Number(line.dataset.id) === id) showIn(line.closest(".table-room"), line);
    }
    $("cell-growth").hidden = id === null;
    if (this.answer) this.plots.show(this.answer.cells, this.answer.columns, id);
    this.redraw();
    if (id !== null) this.weigh();
  }

  /** The selected cell's mass over time. */
  async weigh() {
    const id = this.selected;
    const history = await call(`cells/${id}`).catch(() => null);
    if (!history || id !== this.selected) return;
    this.history = history;
    const { growth_per_h: rate, growth_error_per_h: error, unit } = history;
    $("cell-growth-text").textContent =
      `Cell ${id}${history.parent ? `, daughter of ${history.parent}` : ""}` +
      (rate !== null && error <= KNOWN_PER_H
        ? `: growth ${fixed(rate, 3)} ± ${fixed(error, 3)} 1/h`
        : ": its growth is not known yet to 1/h; that takes minutes to hours");
    this.chart ??= plot($("cell-plot"), GROWTH(), [[], [], [], []]);
    this.chart.axes[1].label = unit === "pg" ? "Dry mass (pg)" : "Σφ (rad px)";
    const { time_s: times, mass: masses, mass_error: errors } = history;
    const edge = (sign) => masses.map((mass, i) => mass + sign * errors[i]);
    this.chart.setData([times, masses, edge(1), edge(-1)]);
  }

  redraw() {
    for (const picture of this.pictures) picture.drawOverlay();
  }

  marks(picture) {
    if (!this.isOn || this.isElsewhere || !this.answer?.outlines) return [];
    const hasRoom = picture.stage.clientWidth >= 400;
    return this.answer.outlines.flatMap((corners, i) => {
      const { id, y_px: y, x_px: x } = this.answer.cells[i];
      const points = corners.map(([v, u]) => picture.onStage(v, u).join()).join(" ");
      const [left, top] = picture.onStage(y, x);
      const tone = id === this.selected ? "cell selected" : "cell";
      return [
        shape("polygon", { points, class: tone }),
        ...(hasRoom ? [shape("text", { x: left, y: top + 4, class: `${tone} number` }, String(id))] : []),
      ];
    });
  }
}

/** Scroll `room`, and nothing else, until `line` is seen. */
function showIn(room, line) {
  const [around, own] = [room.getBoundingClientRect(), line.getBoundingClientRect()];
  const head = line.closest("table").tHead.offsetHeight;
  room.scrollTop += Math.min(0, own.top - around.top - head) + Math.max(0, own.bottom - around.bottom);
}

function compare(a, b, { column, falls }) {
  const [one, other] = [a[column] ?? -Infinity, b[column] ?? -Infinity];
  return (one < other ? -1 : one > other ? 1 : 0) * (falls ? -1 : 1);
}

/** Whether a ray to the left crosses the outline an odd number of times. */
function isInside(corners, y, x) {
  let inside = false;
  corners.forEach(([y0, x0], i) => {
    const [y1, x1] = corners[(i + 1) % corners.length];
    if (y0 > y !== y1 > y && x > x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) inside = !inside;
  });
  return inside;
}

const GROWTH = () => ({
  padding: [8, 14, 0, 0],
  cursor: { show: false },
  scales: { x: { time: false } },
  axes: [axis({ size: 24, label: "Time (s)" }), axis({ size: 48, label: " ", space: 22 })],
  series: [
    {},
    { stroke: ink("profile"), width: 1.5, points: { show: false } },
    ...[1, -1].map(() => ({ stroke: "transparent", points: { show: false } })), // its error, as a band
  ],
  bands: [{ series: [2, 3], fill: `${ink("profile")}33` }],
});

/** @param {string} name */
function link(name) {
  const to = document.createElement("a");
  to.href = addressOf(`cells/${name}`).href;
  to.download = "";
  to.textContent = MORE_FILES[name];
  return to;
}
