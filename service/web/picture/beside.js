// The second picture: another layer of the same frame, or the difference of two engines.

import { lookupTable } from "./colormaps.js";
import { color, percentileLimits } from "./contrast.js";
import { one } from "../dom.js";
import { fixed } from "../units.js";

const NAMES = { interferogram: "Interferogram", amplitude: "Amplitude", mask: "Mask", network: "Network", true: "True phase" };
const LEAST_SPAN_RAD = 0.1; // a smaller difference is noise, and not worth colours of its own

export class Beside {
  /** `onChoice` gets the layer that is to be asked for whenever a person chooses what the second picture shows. */
  constructor(onChoice) {
    this.choice = "interferogram";
    this.baseline = "Baseline";
    this.menu = one("#beside");
    this.difference = null;
    this.menu.addEventListener("change", () => {
      this.choice = this.menu.value;
      this.menu.blur();
      onChoice(this.layer);
    });
  }

  /** The layer that has to be asked for. */
  get layer() {
    return this.choice === "difference" ? "baseline" : this.choice;
  }

  /** Offer what the service has now. */
  offer(layers, baseline) {
    this.baseline = baseline?.engine ?? "baseline";
    const offered = layers.filter((layer) => NAMES[layer]).map((layer) => [layer, NAMES[layer]]);
    if (layers.includes("baseline"))
      offered.push(["baseline", `Phase by ${this.baseline}`], ["difference", `Phase − ${this.baseline}`]);
    if (offered.length === 0 || this.offered === String(offered)) return;
    this.offered = String(offered);
    this.menu.replaceChildren(...offered.map(([value, text]) => new Option(text, value)));
    const isThere = offered.some(([value]) => value === this.choice);
    this.menu.value = isThere ? this.choice : "interferogram";
    if (!isThere) this.menu.dispatchEvent(new Event("change"));
  }

  /** Draw it on `picture`; phases share the limits of the first picture, so that the two compare. */
  paint(picture, frame, limits) {
    const { beside } = frame;
    const isDifference = this.choice === "difference" && beside.header.layer === "baseline";
    const values = isDifference ? this.subtract(frame) : beside.values;
    const isPhase = ["baseline", "true"].includes(beside.header.layer);
    const map = isDifference ? "difference" : isPhase ? "perceptual" : "grey";
    const [low, high] = isDifference
      ? symmetric(values)
      : isPhase
        ? [limits.phase.low, limits.phase.high]
        : (limits[beside.header.layer]?.home ?? percentileLimits(values));
    picture.show(beside, (pixels) => color(pixels, values, lookupTable(map), low, high));
  }

  /** [name, value] of it under the cursor. */
  valueAt(frame, y, x) {
    const { values, width, header } = frame.beside;
    const at = y * width + x;
    if (header.layer === "interferogram") return ["Grey value", String(values[at])];
    if (this.choice === "difference") return ["Difference", `${fixed(this.difference?.[at], 3)} rad`];
    const unit = header.unit === "rad" ? " rad" : "";
    return [NAMES[header.layer] ?? this.baseline, `${fixed(values[at], 3)}${unit}`];
  }

  /** First picture minus second, less the middle of it: two engines may choose another level. */
  subtract({ phase, beside }) {
    if (this.difference?.length !== phase.values.length) this.difference = new Float32Array(phase.values.length);
    for (let i = 0; i < this.difference.length; i += 1) this.difference[i] = phase.values[i] - beside.values[i];
    const samples = this.difference.filter((value, i) => i % 61 === 0 && value === value).sort();
    const level = samples[samples.length >> 1] ?? 0;
    for (let i = 0; i < this.difference.length; i += 1) this.difference[i] -= level;
    return this.difference;
  }
}

function symmetric(values) {
  const most = Math.max(LEAST_SPAN_RAD, ...percentileLimits(values).map(Math.abs));
  return [-most, most];
}
