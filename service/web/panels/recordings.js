// Recordings: the record button, those on the disk with their pictures, and playing one through any engine.

import { call } from "../api.js";
import { $ } from "../dom.js";
import { clock, count, fixed } from "../units.js";
import { Player } from "./player.js";

const POLL_MS = 1000;
const UNDO_MS = 20000;
const LIMITS = ["frames", "seconds", "every_s", "before_trigger_s"];
const at = (name) => `recordings/${encodeURIComponent(name)}`;
export const megabytes = (bytes) => (bytes < 1e9 ? `${fixed(bytes / 1e6, 1)} MB` : `${fixed(bytes / 1e9, 2)} GB`);

export class RecordingsPanel {
  /**
   * @param {(playing: boolean) => void} onPlaying called when a recording takes the live picture's place, and gives it back
   * @param {(frame: any) => void} onFrame called with each frame that is played
   */
  constructor(onPlaying, onFrame) {
    this.player = new Player(onPlaying, onFrame);
    this.running = [];
    this.shown = "";
    $("record").addEventListener("click", () => this.carryOut(() => this.startOrStop()));
    $("record-trigger").addEventListener("click", () =>
      this.carryOut(() => call(`${at(this.current.name)}/trigger`, { method: "POST" })),
    );
    $("record-undo").addEventListener("click", () => this.carryOut(() => this.restore()));
    $("recordings-list").addEventListener("click", (/** @type {any} */ { target }) => this.onClick(target));
  }

  /** Look how recordings stand, again and again. */
  run() {
    this.refresh().finally(() => setTimeout(() => this.run(), POLL_MS));
  }

  /** The recording that the button stops. */
  get current() {
    return this.running.find(({ state }) => state === "recording" || state === "waiting");
  }

  async refresh() {
    if (document.hidden) return;
    const answer = await call("recordings").catch(() => null);
    if (!answer) return;
    this.running = answer.running;
    this.showRunning(answer.free_bytes);
    this.showKept(answer.kept);
  }

  showRunning(freeBytes) {
    const [made, last] = [this.current, this.running[0]];
    $("record").textContent = made ? "Stop recording" : "Record";
    $("record").setAttribute("aria-pressed", Boolean(made));
    $("record-trigger").hidden = made?.state !== "waiting";
    const left = freeBytes === null ? "" : `${megabytes(freeBytes)} left`;
    $("record-left").textContent = left;
    const one = made ?? last;
    if (!one) return;
    const lost = Object.values(one.lost).reduce((sum, frames) => sum + frames, 0);
    $("record-status").textContent =
      `${one.name}: ${count(one.frames)} frames, ${fixed(one.elapsed_s, 1)} s, ${megabytes(one.bytes)}, ${count(lost)} lost. ` +
      one.sentence;
    $("record-status").classList.toggle("bad", lost > 0 || one.state === "failed");
  }

  showKept(kept) {
    const now = JSON.stringify(kept);
    if (now === this.shown) return; // what has focus keeps it
    this.shown = now;
    $("recordings-list").replaceChildren(...kept.map(itemOf));
    $("recordings-note").textContent = kept.length ? `${count(kept.length)} kept` : "none yet";
  }

  async startOrStop() {
    if (this.current) {
      await call(`${at(this.current.name)}/stop`, { method: "POST" });
      return;
    }
    /** @type {Record<string, any>} */
    const wanted = { name: $("record-name").value, layers: ["interferogram"], format: $("record-format").value };
    if ($("record-phase").checked) wanted.layers.push("phase");
    for (const name of LIMITS) {
      const text = $(`record-${name}`).value.trim();
      if (text) wanted[name] = Number(text);
    }
    await call("recordings", { method: "POST", json: wanted });
    $("record-name").value = ""; // the next one needs another
  }

  async restore() {
    await call(`${at(this.deleted)}/restore`, { method: "POST" });
    $("record-undo").hidden = true;
  }

  onClick(target) {
    const { name } = target.closest("li")?.dataset ?? {};
    if (!name) return;
    if (target.dataset.act === "play") this.carryOut(() => this.player.open(name));
    if (target.dataset.act === "delete") this.carryOut(() => this.remove(name));
  }

  async remove(name) {
    if (this.player.name === name) this.player.close();
    await call(at(name), { method: "DELETE" });
    this.deleted = name;
    $("record-undo").hidden = false;
    $("record-undo").textContent = `Undo: bring back ${name}`;
    clearTimeout(this.undoTimer);
    this.undoTimer = setTimeout(() => ($("record-undo").hidden = true), UNDO_MS);
  }

  async carryOut(order) {
    $("record-answer").textContent = "";
    $("record").disabled = true; // until it is known what the next press would do
    await order().catch((error) => ($("record-answer").textContent = error.message));
    await this.refresh();
    $("record").disabled = false;
  }
}

function itemOf(kept) {
  const item = document.createElement("li");
  item.dataset.name = kept.name;
  const hasPicture = kept.frames > 0 && kept.layers.includes("interferogram");
  const picture = document.createElement("img");
  picture.alt = "";
  picture.loading = "lazy";
  if (hasPicture) picture.src = new URL(`api/v1/${at(kept.name)}/thumbnail`, document.baseURI).href;
  const about = document.createElement("div");
  const title = document.createElement("b");
  title.textContent = kept.name;
  const facts = document.createElement("span");
  facts.textContent = `${count(kept.frames)} frames, ${fixed(kept.length_s, 1)} s, ${megabytes(kept.bytes)}`;
  facts.title = `${clock(kept.started_ns)}, ${kept.camera}. ${kept.sentence}`;
  if (kept.state === "cut off" || kept.state === "failed") facts.classList.add("bad");
  about.append(title, facts, filesOf(kept));
  const buttons = document.createElement("p");
  buttons.append(button("play", "Play", !hasPicture), button("delete", "Delete", kept.state === "recording"));
  item.append(picture, about, buttons);
  return item;
}

function button(act, text, isDisabled) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, disabled: isDisabled, className: "small" });
  made.dataset.act = act;
  return made;
}

function filesOf(kept) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Download";
  details.append(summary);
  for (const file of kept.files) {
    const link = document.createElement("a");
    link.href = new URL(`api/v1/${at(kept.name)}/files/${encodeURIComponent(file)}`, document.baseURI).href;
    link.textContent = file;
    link.download = "";
    details.append(link);
  }
  return details;
}
