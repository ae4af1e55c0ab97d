// Who makes the phase and who takes the frames, and what can be adjusted of that.

import { call } from "./api.js";
import { row } from "./rows.js";
import { clock, fixed } from "./units.js";

const $ = (id) => document.getElementById(id);
const ANSWER_MS = 8000;

export class EnginePanel {
  constructor() {
    this.calibrationNs = null;
    this.command("refind", "Looking for the carrier again.", () => call("engine/carrier", { method: "POST" }));
    this.command("calibrate", "The live frame is now the calibration.", () =>
      call("engine/calibration", { method: "PUT" }),
    );
    this.command("uncalibrate", "No calibration: the background is fitted.", () =>
      call("engine/calibration", { method: "DELETE" }),
    );
    $("sideband").addEventListener("change", ({ target }) =>
      this.carryOut(`Sign: ${target.value}.`, () =>
        call("engine/sideband", { method: "PUT", json: { sideband: target.value } }),
      ),
    );
  }

  command(id, done, order) {
    $(id).addEventListener("click", () => this.carryOut(done, order));
  }

  async carryOut(done, order) {
    try {
      await order();
      this.answer(done, false);
    } catch (refusal) {
      this.answer(refusal.message, true);
    }
    this.refresh();
  }

  answer(sentence, isBad) {
    $("answer").textContent = sentence;
    $("answer").classList.toggle("bad", isBad);
    clearTimeout(this.timer);
    if (!isBad) this.timer = setTimeout(() => ($("answer").textContent = ""), ANSWER_MS);
  }

  /** Ask which adjustments the engine has and how they stand. */
  async refresh() {
    const engine = await call("engine").catch(() => null);
    $("tuning").hidden = !engine?.tunable;
    this.calibrationNs = engine?.calibration_ns ?? null;
    const choice = document.querySelector(`#sideband input[value="${engine?.sideband}"]`);
    if (choice) choice.checked = true;
  }

  show({ engine, camera, baseline, quality }) {
    $("engine-name").textContent = `${engine.name} on ${engine.device}`;
    $("engine-name").title = `${engine.name} ${engine.version} (${engine.kind}) on ${engine.device}`;
    $("engine").replaceChildren(...engineRows(quality, this.calibrationNs), ...baselineRows(baseline));
    $("camera-name").textContent = [camera.vendor, camera.model].filter(Boolean).join(" ") || camera.source;
    $("camera-name").title = camera.source;
    $("camera").replaceChildren(...cameraRows(camera));
  }
}

function engineRows(quality, calibrationNs) {
  const calibration = calibrationNs ? `of ${clock(calibrationNs).slice(0, 8)}` : "none";
  return [
    row(
      "Carrier strength",
      fixed(quality?.carrier_strength, 0),
      "",
      "Spectral peak over the median of the ring around it",
    ),
    row(
      "Calibration",
      calibration,
      "",
      "The sample-free frame divided out; without one, a smooth background is fitted",
    ),
  ];
}

function baselineRows(baseline) {
  if (!baseline) return [];
  const part = `${fixed(100 * baseline.fraction, 0)} % of frames also run through ${baseline.engine}; ${baseline.frames} compared.`;
  return [
    row(`Differs from ${baseline.engine}`, `${fixed(baseline.rms_rad, 3)} rad`, "", `Root mean square. ${part}`),
    row("PSNR", `${fixed(baseline.psnr_db, 1)} dB`, "", `On the scale 0 – 12 rad. ${part}`),
  ];
}

function cameraRows({ shape: [height, width], bit_depth: bits, optics }) {
  const pixelUm = optics?.pixel_pitch_m ? (optics.pixel_pitch_m / optics.magnification) * 1e6 : null;
  return [
    row("Frame", `${width} × ${height}, ${bits} bit`, "", "Width × height in pixels, bits of a grey value"),
    row("Wavelength", optics ? `${fixed(optics.wavelength_m * 1e9, 1)} nm` : "not known"),
    row("Pixel", pixelUm ? `${fixed(pixelUm, 3)} µm` : "not known", "", "In the object plane"),
  ];
}
