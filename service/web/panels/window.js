// What of the chip the camera reads out: drawn on the picture, or the full chip; binning and pixel format.

import { call } from "../api.js";
import { $ } from "../dom.js";

const ANSWER_MS = 8000;

export class WindowPanel {
  /** `pictures` are those on which an area can be drawn. */
  constructor(pictures) {
    this.pictures = pictures;
    $("window-draw").addEventListener("click", () => this.draw(!this.isDrawing));
    $("window-full").addEventListener("click", () => this.change({ full: true }));
    $("window-binning").addEventListener("change", ({ target }) => this.change({ binning: Number(target.value) }));
    $("window-format").addEventListener("change", ({ target }) => this.change({ pixel_format: target.value }));
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.draw(false));
  }

  /** Ask what is read out now, and what could be. */
  async refresh() {
    // Recordings and simulated cameras have no chip to choose from, and a browser notes each refusal as an error.
    const stats = await call("stats").catch(() => null);
    const isCamera = /^(gentl|mmcore):/.test(stats?.camera?.source ?? "");
    this.show(isCamera ? await call("camera/window").catch(() => null) : null);
  }

  show(window) {
    this.window = window;
    $("window-row").hidden = !window;
    $("window-text").hidden = !window;
    if (!window) return;
    const { y, x, height, width, full_height: fullHeight, full_width: fullWidth, binning, binnings } = window;
    const isFull = height === fullHeight && width === fullWidth;
    const part = isFull ? "the full chip" : `from row ${y}, column ${x} of ${fullHeight} × ${fullWidth}`;
    $("window-text").textContent = `Window: ${height} × ${width} px, ${part}`;
    $("window-full").disabled = isFull;
    offer($("window-binning"), binnings, binning[0], (factor) => `${factor} × ${factor}`);
    $("window-binning").closest("label").hidden = binnings.length < 2;
    offer($("window-format"), window.pixel_formats, window.pixel_format, String);
  }

  /** Let the next drag on a picture draw an area instead of a line, or not. */
  draw(isDrawing) {
    this.isDrawing = isDrawing;
    $("window-draw").setAttribute("aria-pressed", isDrawing);
    $("window-draw").textContent = isDrawing ? "Drag on the picture" : "Draw";
    for (const picture of this.pictures) picture.drawArea(isDrawing ? (area) => this.drawn(area) : null);
  }

  /** The person drew an area, in pixels of the frame on screen. */
  async drawn({ y, x, height, width }) {
    this.draw(false);
    await this.refresh(); // another program may have moved the window meanwhile
    if (!this.window) return;
    const { least_height: leastHeight, least_width: leastWidth, y: top, x: left } = this.window;
    const [rows, columns] = [Math.max(height, leastHeight), Math.max(width, leastWidth)];
    // An area smaller than the camera reads grows, but never over the chip's edge.
    const row = Math.max(0, Math.min(top + y, this.window.full_height - rows));
    const column = Math.max(0, Math.min(left + x, this.window.full_width - columns));
    await this.change({ y: row, x: column, height: rows, width: columns });
  }

  async change(change) {
    clearTimeout(this.timer);
    let refusal = "";
    this.show(
      await call("camera/window", { method: "PUT", json: change }).catch((error) => {
        refusal = error.message;
        return this.window;
      }),
    );
    $("camera-answer").textContent = refusal;
    if (refusal) this.timer = setTimeout(() => ($("camera-answer").textContent = ""), ANSWER_MS);
  }
}

function offer(select, values, chosen, text) {
  const there = [...select.options].map((option) => option.value);
  if (there.join() !== values.join()) select.replaceChildren(...values.map((value) => new Option(text(value), value)));
  if (document.activeElement !== select) select.value = chosen;
}
