// What is written of the frame on screen: its number and time, and the values under the cursor.

import { $ } from "../dom.js";
import { isPhase } from "../picture/layers.js";
import { clock, count, fixed, nmPerRad } from "../units.js";

/** @param {any} header */
export function showFrameFacts(header) {
  $("frame-number").textContent = count(header.sequence);
  $("frame-time").textContent = clock(header.captured_ns);
  $("frame-residues").textContent = count(header.residues);
  $("frame-disputed").textContent = count(header.disputed_pixels);
}

/** Write the values of `layer` at the cursor; `quantity` says how they are written, `beside` what else is there. */
export function showCursor(frame, cursor, values, layer, quantity, beside) {
  const { phase } = frame;
  const { object_pixel_m: pixelM, wavelength_m: wavelengthM, downscale } = phase.header;
  const [y, x] = [cursor.y, cursor.x].map((position) => Math.floor(position / downscale));
  if (y >= phase.height || x >= phase.width) return;
  const value = values[y * phase.width + x];
  const um = (position) => fixed((position * pixelM * 1e6) / downscale, 2);
  $("cursor-px").textContent = `${cursor.y}, ${cursor.x}`;
  $("cursor-um").textContent = pixelM ? `${um(cursor.y)}, ${um(cursor.x)} µm` : "–";
  $("cursor-quantity").textContent = layer === "wrapped" ? "Wrapped" : quantity.quantity.replace("OPD", "Phase");
  $("cursor-phase").textContent = isPhase(layer) ? `${fixed(value, 3)} rad` : fixed(value, quantity.digits);
  $("cursor-opd").textContent = isPhase(layer) && wavelengthM ? `${fixed(value * nmPerRad(wavelengthM), 1)} nm` : "–";
  [$("cursor-beside").textContent, $("cursor-grey").textContent] = beside.valueAt(frame, y, x);
}
