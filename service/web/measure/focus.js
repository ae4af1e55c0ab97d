// Looking at frames as though the objective had been focused elsewhere.

import { call } from "../api.js";
import { $ } from "../dom.js";
import { fixed, typed } from "../units.js";

export class FocusPanel {
  /** `onFocus` is told the distance in µm that frames are to be shown at. */
  constructor(onFocus) {
    this.onFocus = onFocus;
    $("focus-slider").addEventListener("input", ({ target }) => this.set(Number(target.value)));
    $("focus-um").addEventListener("change", ({ target }) => this.set(typed(target.value) || 0));
    $("focus-reset").addEventListener("click", () => this.set(0));
    $("focus-auto").addEventListener("click", () => this.find());
  }

  set(um) {
    $("focus-slider").value = um;
    $("focus-um").value = fixed(um, 1);
    this.onFocus(um);
  }

  async find() {
    $("focus-auto").disabled = true;
    $("focus-answer").textContent = "Looking for the focus.";
    const region = $("focus-region").value;
    const metric = $("focus-metric").value;
    const wanted = new URLSearchParams({ ...(metric && { metric }), ...(region && { region }) });
    try {
      const found = await call(`focus?${wanted}`);
      this.set(found.distance_um);
      const depth = found.depth_of_field_um ? `; depth of field ${fixed(found.depth_of_field_um, 1)} µm` : "";
      $("focus-answer").textContent = found.at_edge
        ? "The sharpest is at the end of what was searched; the focus may lie beyond."
        : `Sharpest ${fixed(found.distance_um, 1)} µm away${depth}. ${found.remark}`;
    } catch (error) {
      $("focus-answer").textContent = error.message;
    }
    $("focus-auto").disabled = false;
  }

  /** Offer the regions to focus on. */
  offer(regions) {
    const select = $("focus-region");
    const names = regions.filter(({ shape, role }) => shape !== "line" && role === "measure").map(({ name }) => name);
    if (names.join() === [...select.options].slice(1).map(({ value }) => value).join()) return;
    select.replaceChildren(new Option("Whole picture", ""), ...names.map((name) => new Option(name, name)));
  }
}
