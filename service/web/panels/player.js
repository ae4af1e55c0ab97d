// Plays a recording in the live picture's place: its frames one by one, as an engine inverts them beside the live line.

import { call } from "../api.js";
import { $ } from "../dom.js";
import { count, fixed } from "../units.js";
import { decode } from "../wire.js";

const DEFAULT_HZ = 20;

export class Player {
  constructor(onPlaying, onFrame) {
    this.onPlaying = onPlaying;
    this.onFrame = onFrame;
    this.name = "";
    this.index = 0;
    this.isRunning = false;
    this.asked = 0;
    $("player-time").addEventListener("input", ({ target }) => this.seek(Number(target.value)));
    $("player-back").addEventListener("click", () => this.step(-1));
    $("player-on").addEventListener("click", () => this.step(1));
    $("player-run").addEventListener("click", () => this.runOrPause());
    $("player-engine").addEventListener("change", () => this.seek(this.index));
    $("player-live").addEventListener("click", () => this.close());
  }

  /** Begin with a recording's first frame. */
  async open(name) {
    const { kept } = await call(`recordings/${encodeURIComponent(name)}`);
    if (!kept?.frames) throw new Error(`expected a recording with frames, got ${name}`);
    this.name = name;
    this.frames = kept.frames;
    this.periodMs = kept.length_s > 0 && kept.frames > 1 ? (1e3 * kept.length_s) / (kept.frames - 1) : 1e3 / DEFAULT_HZ;
    const { engines, chosen } = await call("engine");
    const offered = engines.filter(({ opens }) => opens).map((engine) => new Option(engine.name, engine.name));
    $("player-engine").replaceChildren(...offered);
    $("player-engine").value = chosen;
    $("player").hidden = false;
    $("player-name").textContent = name;
    $("player-time").max = this.frames - 1;
    this.onPlaying(true);
    await this.show(0);
  }

  /** Give the picture back to the live frames. */
  close() {
    this.pause();
    this.name = "";
    $("player").hidden = true;
    this.onPlaying(false);
  }

  step(by) {
    this.pause();
    this.seek(this.index + by);
  }

  seek(index) {
    const wanted = Math.min(this.frames - 1, Math.max(0, index));
    return this.show(wanted).catch((error) => this.fail(error));
  }

  runOrPause() {
    if (this.isRunning) return this.pause();
    this.isRunning = true;
    $("player-run").textContent = "Pause";
    $("player-run").setAttribute("aria-pressed", "true");
    return this.run().catch((error) => this.fail(error));
  }

  pause() {
    this.isRunning = false;
    $("player-run").textContent = "Play";
    $("player-run").setAttribute("aria-pressed", "false");
  }

  /** One frame after the other, those left out that the engine is too slow for. */
  async run() {
    const isAtEnd = this.index >= this.frames - 1;
    let [from, since] = [isAtEnd ? 0 : this.index, performance.now()];
    while (this.isRunning && this.name) {
      const speed = Number($("player-speed").value);
      let next = speed ? from + Math.round(((performance.now() - since) * speed) / this.periodMs) : this.index + 1;
      if (next >= this.frames) {
        if (!$("player-loop").checked) {
          await this.show(this.frames - 1);
          return this.pause();
        }
        [from, since, next] = [0, performance.now(), 0];
      }
      if (next === this.index && speed) await new Promise((done) => setTimeout(done, this.periodMs / speed / 2));
      else await this.show(next);

    }
    return undefined;
  }

  /** Fetch and show a frame; one that was asked for meanwhile takes its place. */
  async show(index) {
    const [name, asked] = [this.name, ++this.asked];
    this.index = index;
    $("player-time").value = index;
    $("player-place").textContent = `${count(index)} of ${count(this.frames)}, ${fixed((index * this.periodMs) / 1e3, 2)} s`;
    const [phase, beside] = await Promise.all(["phase", "interferogram"].map((layer) => this.fetch(index, layer)));
    if (this.name !== name || asked !== this.asked) return;
    $("player-answer").textContent = "";
    this.onFrame({ phase, beside });
  }

  async fetch(index, layer) {
    const query = new URLSearchParams({ layer, format: "qpif", engine: $("player-engine").value });
    const address = `api/v1/recordings/${encodeURIComponent(this.name)}/frames/${index}?${query}`;
    const answer = await fetch(new URL(address, document.baseURI));
    if (!answer.ok) throw new Error((await answer.json()).detail);
    return decode(await answer.arrayBuffer());
  }

  fail(error) {
    this.pause();
    $("player-answer").textContent = error.message;
  }
}
