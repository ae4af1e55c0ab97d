// The colour bar: which colour is which phase, and the contrast limits, typed or dragged.

import { lookupTable } from "./colormaps.js";
import { one } from "../dom.js";
import { fixed, ticks, typed } from "../units.js";

const TICK_ROOM_PX = 48;

export class ColorBar {
  /** `onChange` is called after a person changed the limits that `show` was last given. */
  constructor(onChange) {
    this.onChange = onChange;
    this.title = one("#bar-title");
    this.bar = one("#bar");
    this.context = one("#bar-canvas").getContext("2d");
    this.tickList = one("#bar-ticks");
    this.low = one("#limit-low");
    this.high = one("#limit-high");
    this.autoButton = one("#auto");
    this.drawn = "";
    /** @type {any} set by `show` */
    this.limits = null;
    /** @type {any} */
    this.scale = null;
    this.low.addEventListener("change", () => this.set(typed(this.low.value) / this.scale.perRad, this.limits.high));
    this.high.addEventListener("change", () => this.set(this.limits.low, typed(this.high.value) / this.scale.perRad));
    this.autoButton.addEventListener("click", () => {
      if (this.limits.isAuto) this.limits.set(this.limits.low, this.limits.high);
      else this.limits.auto();
      this.onChange();
    });
    this.bar.addEventListener("pointerdown", (event) => this.limits && this.drag(event));
  }

  /** Draw the bar for `limits` (in rad) and `scale`: {title, perRad, digits}. */
  show(map, limits, scale) {
    Object.assign(this, { limits, scale });
    const key = [map, limits.low, limits.high, limits.isAuto, scale.title, scale.perRad, this.bar.clientHeight].join();
    if (key === this.drawn) return;
    this.drawn = key;
    this.paint(map);
    this.title.textContent = scale.title;
    this.autoButton.setAttribute("aria-pressed", limits.isAuto);
    const [low, high] = [limits.low * scale.perRad, limits.high * scale.perRad];
    if (document.activeElement !== this.low) this.low.value = fixed(low, scale.digits);
    if (document.activeElement !== this.high) this.high.value = fixed(high, scale.digits);
    this.tickList.replaceChildren(...this.tickItems(low, high));
  }

  paint(map) {
    const column = Uint32Array.from(lookupTable(map)).reverse();
    this.context.putImageData(new ImageData(new Uint8ClampedArray(column.buffer), 1, column.length), 0, 0);
  }

  tickItems(low, high) {
    const { values, digits } = ticks(low, high, Math.max(2, this.bar.clientHeight / TICK_ROOM_PX));
    return values.map((value) => {
      const item = document.createElement("li");
      item.textContent = fixed(value, digits);
      item.style.top = `${(100 * (high - value)) / (high - low)}%`;
      return item;
    });
  }

  set(low, high) {
    this.limits.set(low, high);
    this.drawn = ""; // what was typed is put right even if it changed nothing
    /** @type {any} */ (document.activeElement)?.blur();
    this.onChange();
  }

  drag(start) {
    const box = this.bar.getBoundingClientRect();
    const { low, high } = this.limits;
    const movesHigh = start.clientY < box.top + box.height / 2;
    this.bar.setPointerCapture(start.pointerId);
    const move = (event) => {
      const shift = ((start.clientY - event.clientY) / box.height) * (high - low);
      this.limits.set(movesHigh ? low : low + shift, movesHigh ? high + shift : high);
      this.onChange();
    };
    const done = () => this.bar.removeEventListener("pointermove", move);
    this.bar.addEventListener("pointermove", move);
    this.bar.addEventListener("pointerup", done, { once: true });
    this.bar.addEventListener("pointercancel", done, { once: true });
  }
}
