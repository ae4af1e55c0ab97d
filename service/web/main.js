// The live page. Each frame comes in as two layers, phase and interferogram, and the newest whole frame is drawn once
// per refresh of the screen. Freezing keeps the frame on screen while the stream runs on.

import { addressOf } from "./api.js";
import { Beside } from "./picture/beside.js";
import { CameraPanel } from "./panels/camera_panel.js";
import { ColorBar } from "./picture/colorbar.js";
import { MAPS, lookupTable } from "./picture/colormaps.js";
import { color, wrap } from "./picture/contrast.js";
import { $, all, one } from "./dom.js";
import { EnginePanel } from "./panels/engine.js";
import { AveragingPanel } from "./measure/averaging.js";
import { CellsPanel } from "./measure/cells.js";
import { FocusPanel } from "./measure/focus.js";
import { RegionsPanel } from "./measure/regions.js";
import { Help } from "./panels/help.js";
import { listenToKeys } from "./keyboard.js";
import { limits, maps, quantityOf } from "./picture/layers.js";
import { offerLines } from "./panels/lines.js";
import { Liveness } from "./liveness.js";
import { Moves } from "./picture/moves.js";
import { Picture } from "./picture/picture.js";
import { Profile } from "./panels/profile.js";
import { showCursor, showFrameFacts } from "./panels/readings.js";
import { download, fileName, npyParts, pngParts, tiffParts } from "./picture/save.js";
import { RecordingsPanel } from "./panels/recordings.js";
import { StatsPanel } from "./panels/stats.js";
import { FrameStream } from "./stream.js";
import { clock, count, fixed } from "./units.js";
import { View } from "./picture/view.js";
import { WindowPanel } from "./panels/window.js";

const MOST_FPS = 30; // what the page asks for; no eye and few screens need more

const look = { layer: "phase", unit: "rad", marksClipped: false, cursor: null, line: null };
const screen = { frame: null, next: null, isFrozen: false, needsColors: false, isAsked: false, drawnAt: [] };
const liveness = new Liveness();
let wrapped = null;

/** What is on screen, for whoever looks at the page by program: the frame's layers and how they are shown. */
export const shown = () => ({
  frame: screen.frame,
  values: shownValues(),
  isFrozen: screen.isFrozen,
  limits: limits[layerShown()],
  ...look,
  profile: profile.rows,
});

// ---- drawing -------------------------------------------------------------------------------------------------

const view = new View(onView);
const hands = { cursorAt, lineDrawn };
const phasePicture = new Picture($("phase-stage"), view, hands);
const rawPicture = new Picture($("raw-stage"), view, hands);
const moves = new Moves(phasePicture, look, hands);
const colorBar = new ColorBar(() => askForColors());
const profile = new Profile();
const enginePanel = new EnginePanel();
const cameraPanel = new CameraPanel();
const windowPanel = new WindowPanel([phasePicture, rawPicture]);
const cellsPanel = new CellsPanel([phasePicture, rawPicture]);
const regionsPanel = new RegionsPanel([phasePicture, rawPicture]);
const averagingPanel = new AveragingPanel();
const focusPanel = new FocusPanel((um) => stream.want({ focus_um: um }));
const beside = new Beside((layer) => {
  stream.want({ beside: layer });
  askForColors();
});
const help = new Help();

function onView() {
  for (const picture of [phasePicture, rawPicture]) picture.layOut();
  $("fit").hidden = view.isFit;
  $("fit").textContent = `${fixed(view.zoom, 1)}× · show all`;
}

function ask() {
  if (screen.isAsked) return;
  screen.isAsked = true;
  requestAnimationFrame(draw);
}

function askForColors() {
  screen.needsColors = true;
  ask();
}

function draw() {
  screen.isAsked = false;
  const isNew = screen.next !== null && !screen.isFrozen;
  if (isNew) takeNext();
  if (!screen.frame) return;
  if (isNew || screen.needsColors) paint(isNew);
  screen.needsColors = false;
  for (const picture of [phasePicture, rawPicture]) picture.mark(look.cursor, look.line);
  if (look.cursor) showCursor(screen.frame, look.cursor, shownValues(), layerShown(), quantity(), beside);
  showProfile(!isNew);
}

function takeNext() {
  screen.frame = screen.next;
  screen.next = null;
  screen.drawnAt.push(performance.now());
  if (screen.drawnAt.length > 60) screen.drawnAt.shift();
  showFrame(screen.frame);
}

/** The layer on screen: the chosen one, or the one before until its first frame has come. */
function layerShown() {
  const layer = screen.frame?.phase.header.layer ?? "phase";
  return layer === "phase" && look.layer === "wrapped" ? "wrapped" : layer;
}

function shownValues() {
  const values = screen.frame?.phase.values;
  return values && layerShown() === "wrapped" ? wrapped : values;
}

function paint(isNew) {
  const { phase } = screen.frame;
  const layer = layerShown();
  if (layer === "wrapped") {
    if (wrapped?.length !== phase.values.length) wrapped = new Float32Array(phase.values.length);
    wrap(phase.values, wrapped);
  }
  const [values, scale, map] = [shownValues(), limits[layer], maps[layer]];
  if (isNew || scale.isFresh) scale.follow(values);
  phasePicture.show(phase, (pixels) => color(pixels, values, lookupTable(map), scale.low, scale.high, look.marksClipped));
  colorBar.show(map, scale, quantity());
  $("layer-note").textContent = layer === "mask" && !values.some(Boolean) ? "No pixel of this frame is masked." : "";
  $("layer-note").hidden = !$("layer-note").textContent;
  beside.paint(rawPicture, screen.frame, limits);
}

/** How what is shown is written now. */
const quantity = () => quantityOf(layerShown(), look.unit, screen.frame?.phase.header.wavelength_m);

// ---- words and numbers ---------------------------------------------------------------------------------------

function showFrame({ phase: { header } }) {
  showFrameFacts(header);
  averagingPanel.told(header);
  const warning = header.warning ?? liveness.stats?.baseline?.drift?.sentence ?? "";
  $("warning").textContent = warning;
  $("warning").hidden = !warning;
  const nm = one("#unit input[value=nm]");
  nm.disabled = !header.wavelength_m;
  nm.parentElement.title = header.wavelength_m
    ? "Optical path difference, λ/2π times the phase"
    : "The wavelength is not known: start the service with --wavelength-nm";
}

function showProfile(isUrgent) {
  if (look.line)
    profile.show(screen.frame.phase, shownValues(), look.line, layerShown() === "phase", quantity(), isUrgent);
}

function showState() {
  liveness.show();
  const recent = screen.drawnAt.filter((at) => performance.now() - at < 2000);
  $("shown-fps").textContent =
    recent.length > 1 ? `${fixed(((recent.length - 1) * 1e3) / (recent.at(-1) - recent[0]), 0)} fps shown here` : "";
}

// ---- what a user does --------------------------------------------------------------------------------------

function cursorAt(cursor) {
  look.cursor = cursor;
  ask();
}

function lineDrawn(line) {
  look.line = line;
  ask();
}

function clearLine() {
  look.line = null;
  profile.clear();
  ask();
}

function freeze() {
  if (!screen.frame && !screen.isFrozen) return;
  screen.isFrozen = !screen.isFrozen;
  const { header } = screen.frame.phase;
  $("freeze").setAttribute("aria-pressed", screen.isFrozen);
  $("freeze").firstChild.data = screen.isFrozen ? "Resume " : "Freeze ";
  $("frozen").hidden = !screen.isFrozen;
  $("frozen").textContent = `Frozen at frame ${count(header.sequence)}, ${clock(header.captured_ns)}`;
  document.body.classList.toggle("frozen", screen.isFrozen);
  cellsPanel.isHeld = screen.isFrozen;
  ask();
}

async function save(kind) {
  const { frame } = screen;
  if (!frame) return;
  const [values, { header }] = [shownValues(), frame.phase];
  const layer = layerShown();
  const makers = {
    npy: () => npyParts(frame.phase, values),
    tiff: () => tiffParts(frame.phase, values, layer),
    png: () => pngParts(phasePicture, header, maps[layer], limits[layer], quantity()),
  };
  const types = { npy: "application/octet-stream", tiff: "image/tiff", png: "image/png" };
  download(fileName(header, layer, kind), await makers[kind](), types[kind]);
  const { unit, perRad } = quantity();
  if (unit === "nm" && kind !== "png")
    enginePanel.answer(`Saved in rad, as every file of phase is; 1 rad is ${fixed(perRad, 2)} nm of path.`, false);
}

function markClipped() {
  look.marksClipped = !look.marksClipped;
  $("clipped").setAttribute("aria-pressed", look.marksClipped);
  askForColors();
}

function chooseNumber(number) {
  const offered = all("#layer label:not([hidden]) input:not(:disabled)");
  offered[number - 1]?.click();
}

const KEYS = {
  " ": () => freeze(),
  Escape: () => clearLine(),
  "+": () => moves.zoomBy(1.5),
  "=": () => moves.zoomBy(1.5),
  "-": () => moves.zoomBy(1 / 1.5),
  0: () => view.fit(),
  w: () => moves.panBy(-1, 0),
  a: () => moves.panBy(0, -1),
  s: () => moves.panBy(1, 0),
  d: () => moves.panBy(0, 1),
  l: () => moves.drawLine(),
  c: () => markClipped(),
  u: () => one("#unit input:not(:checked):not(:disabled)")?.click(),
  "?": () => help.show(),
};
for (const number of [1, 2, 3, 4, 5, 6, 7, 8, 9]) KEYS[number] = () => chooseNumber(number);

function chooseLayer(layer) {
  look.layer = layer;
  $("colors").value = maps[layer];
  stream.want({ layer: layer === "wrapped" ? "phase" : layer }); // wrapped here, from the phase
  askForColors();
}

/** Offer the layers that the service has now; a chosen one that is gone gives way to the phase. */
function offerLayers({ layers, baseline }) {
  beside.offer(layers, baseline);
  $("layer-baseline").textContent = baseline ? baseline.engine[0].toUpperCase() + baseline.engine.slice(1) : "Baseline";
  for (const choice of all("#layer input")) {
    const isThere = layers.length === 0 ? !choice.parentElement.hidden : layers.includes(choice.value);
    choice.parentElement.hidden = !isThere;
    // A frozen frame has been sent as one layer only.
    choice.disabled = screen.isFrozen && !["phase", "wrapped"].includes(choice.value);
    if (choice.checked && !isThere) {
      one('#layer input[value="phase"]').checked = true;
      chooseLayer("phase");
    }
  }
}

// ---- the stream ----------------------------------------------------------------------------------------------

function onFrame(frame) {
  liveness.onFrame();
  screen.next = frame;
  ask();
}

function onLink(isOpen, retryMs) {
  liveness.onLink(isOpen, retryMs);
  if (!isOpen) return;
  for (const panel of [enginePanel, cameraPanel, windowPanel, cellsPanel, regionsPanel, averagingPanel])
    panel.refresh();
}

const stream = new FrameStream({ max_fps: MOST_FPS, downscale: 1 }, onFrame, onLink, (news) => liveness.onNews(news));

function start() {
  $("unloaded").remove();
  for (const [name, title] of MAPS) $("colors").add(new Option(title, name));
  $("colors").value = maps.phase;
  $("colors").addEventListener("change", ({ target }) => {
    maps[look.layer] = target.value;
    askForColors();
  });
  $("layer").addEventListener("change", ({ target }) => chooseLayer(target.value));
  $("unit").addEventListener("change", ({ target }) => {
    look.unit = target.value;
    askForColors();
  });
  $("detail").addEventListener("change", ({ target }) => stream.want({ downscale: Number(target.value) }));
  $("freeze").addEventListener("click", freeze);
  $("clipped").addEventListener("click", markClipped);
  $("help-open").addEventListener("click", () => help.show());
  $("fit").addEventListener("click", () => view.fit());
  $("profile-clear").addEventListener("click", clearLine);
  $("profile-csv").addEventListener("click", () =>
    download(fileName(screen.frame.phase.header, "profile", "csv"), [profile.csv()], "text/csv"),
  );
  for (const link of all('a[href^="api/v1/"]')) // of this page's camera
    link.href = addressOf(link.getAttribute("href").replace("api/v1/", "")).href;
  for (const button of all("[data-save]"))
    button.addEventListener("click", () => save(button.dataset.save));
  listenToKeys(KEYS, (down, right) => moves.moveCursor(down, right), $("phase-stage"));
  // A control that was used with the mouse gives the keyboard back, so that the space bar freezes and presses nothing.
  document.addEventListener("click", (/** @type {any} */ { detail, target }) => {
    if (detail > 0) target.closest("button, summary, input[type=radio]")?.blur();
  });
  document.addEventListener("change", (/** @type {any} */ { target }) => {
    if (target.matches("select, input[type=radio]")) target.blur();
  });
  const openIfSeen = () => (document.hidden || liveness.isPlaying ? stream.close() : stream.open());
  document.addEventListener("visibilitychange", openIfSeen);
  openIfSeen();
  const onPlaying = (isPlaying) => {
    liveness.isPlaying = isPlaying;
    cellsPanel.isElsewhere = isPlaying;
    openIfSeen();
    showState();
  };
  new RecordingsPanel(onPlaying, onFrame).run();
  new StatsPanel((stats) => {
    liveness.stats = stats;
    if (stats) offerLayers(stats);
    if (stats) enginePanel.show(stats);
    if (stats) cameraPanel.show(stats);
    focusPanel.offer(regionsPanel.regions);
  }).run();
  setInterval(showState, 500);
  offerLines();
}

start();
