// Averages over the newest frames, and the reference that changes are counted from.

import { call } from "../api.js";
import { $ } from "../dom.js";
import { clock, count, typed } from "../units.js";

export class AveragingPanel {
  constructor() {
    $("average-frames").addEventListener("change", ({ target }) =>
      this.ask("averaging", { method: "PUT", json: { frames: typed(target.value) } }),
    );
    $("average-reference").addEventListener("click", () => this.ask("averaging/reference", { method: "PUT" }));
    $("average-drop").addEventListener("click", () => this.ask("averaging/reference", { method: "DELETE" }));
  }

  refresh() {
    return this.ask("averaging");
  }

  /** @param {{method?: string, json?: unknown}} [request] */
  async ask(path, request) {
    try {
      this.show(await call(path, request));
    } catch (error) {
      $("average-answer").textContent = error.message;
    }
  }

  show({ frames, reference }) {
    if (document.activeElement !== $("average-frames")) $("average-frames").value = String(frames);
    $("average-drop").hidden = reference === null;
    $("average-answer").textContent = reference
      ? (reference.resting ?? `Reference: frame ${count(reference.sequence)}, ${clock(reference.captured_ns)}.`)
      : "";
  }

  /** Say how many frames are in the picture that is shown. */
  told({ averaged_frames: frames }) {
    const text = frames ? `${count(frames)} in the picture` : "";
    if ($("average-count").textContent !== text) $("average-count").textContent = text;
  }
}
