// How each layer is shown: the limits of its colour scale, its colour map, and how its values are written.

import { nmPerRad } from "../units.js";
import { Limits } from "./contrast.js";

// Phase, network, baseline and truth share one scale, so that switching between them compares them.
const [absolute, cyclic] = [new Limits(), new Limits([-Math.PI, Math.PI])];
export const limits = {
  phase: absolute,
  wrapped: cyclic,
  amplitude: new Limits(),
  mask: new Limits([0, 1]),
  network: absolute,
  baseline: absolute,
  true: absolute,
  gradient: new Limits(),
  dic: new Limits(null, 0.5), // level ground
  darkfield: new Limits(),
  mean: absolute,
  change: new Limits(null, 0),
  fluctuation: new Limits(),
};
export const maps = {
  phase: "perceptual",
  wrapped: "cyclic",
  amplitude: "grey",
  mask: "grey",
  network: "perceptual",
  baseline: "perceptual",
  true: "perceptual",
  gradient: "grey",
  dic: "grey",
  darkfield: "grey",
  mean: "perceptual",
  change: "difference",
  fluctuation: "heat",
};
// Layers that are no phase: what they are called, their unit and decimals.
const OTHER_QUANTITIES = {
  amplitude: ["Amplitude", "grey value", 1],
  mask: ["Mask", "", 0],
  gradient: ["Gradient", "rad/px", 3],
  dic: ["DIC", "", 2],
  darkfield: ["Dark field", "", 3],
};
const OTHER_PHASES = { change: "Change", fluctuation: "Spread" };

/** Whether a layer's values are phases, in rad. */
export const isPhase = (layer) => !(layer in OTHER_QUANTITIES);

/** How a layer's values are written: name, unit, factor and decimals; `wavelengthM` is null where it is not known. */
export function quantityOf(layer, unit, wavelengthM) {
  if (!isPhase(layer)) {
    const [name, itsUnit, digits] = OTHER_QUANTITIES[layer];
    const title = itsUnit ? `${name} (${itsUnit})` : name;
    return { quantity: name, unit: itsUnit, title, perRad: 1, digits };
  }
  const isNm = unit === "nm" && wavelengthM;
  const name = OTHER_PHASES[layer] ?? (isNm ? "OPD" : "Phase");
  if (isNm) return { quantity: name, unit: "nm", title: `${name} (nm)`, perRad: nmPerRad(wavelengthM), digits: 0 };
  return { quantity: name, unit: "rad", title: `${name} (rad)`, perRad: 1, digits: 2 };
}
