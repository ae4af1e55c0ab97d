// Who makes the phase and who takes the frames, and what can be adjusted of that.

import { call } from "../api.js";
import { $, all, one } from "../dom.js";
import { row } from "./rows.js";
import { clock, fixed, milliseconds, typed } from "../units.js";

const ANSWER_MS = 8000;

export class EnginePanel {
  constructor() {
    this.calibrationNs = null;
    this.command("refind", "Looking for the carrier again.", () => call("engine/carrier", { method: "POST" }));
    $("calibrate").addEventListener("click", () => this.calibrate(false));
    $("calibrate-anyway").addEventListener("click", () => this.calibrate(true));
    this.command("undo-calibration", "As before the last change of calibration.", () =>
      call("engine/calibration/undo", { method: "POST" }),
    );
    this.command("uncalibrate", "No calibration: the background is fitted.", () =>
      call("engine/calibration", { method: "DELETE" }),
    );
    $("engine-choice").addEventListener("change", ({ target }) => this.switchTo(target.value));
    $("optics-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const optics = {};
      for (const { name, value } of event.target.elements) if (name && value.trim()) optics[name] = typed(value);
      this.carryOut("The optics are kept for this camera.", () =>
        call("camera/optics", { method: "PUT", json: optics }),
      );
    });
    $("sources").addEventListener("change", ({ target }) =>
      this.carryOut("The camera was switched.", () =>
        call("camera/source", { method: "PUT", json: { source: target.value } }),
      ),
    );
    $("sideband").addEventListener("change", ({ target }) =>
      this.carryOut(`Sign: ${target.value}.`, () =>
        call("engine/sideband", { method: "PUT", json: { sideband: target.value } }),
      ),
    );
  }

  async switchTo(name) {
    $("engine-choice").disabled = true;
    this.answer(`${name} is being opened; frames go on by the present engine.`, false);
    await this.carryOut(`Engine: ${name}.`, () => call("engine", { method: "PUT", json: { engine: name } }));
    $("engine-choice").disabled = false;
  }

  /** Divide the live frame out from now on; one with cells in it only if `isForced`. */
  async calibrate(isForced) {
    const path = isForced ? "engine/calibration?force=true" : "engine/calibration";
    const isDone = await this.carryOut("The live frame is now the calibration.", () => call(path, { method: "PUT" }));
    $("calibrate-anyway").hidden = isDone;
  }

  command(id, done, order) {
    $(id).addEventListener("click", () => this.carryOut(done, order));
  }

  /** Whether it was done; what came of it is said either way. */
  async carryOut(done, order) {
    let isDone = true;
    try {
      const answer = await order();
      this.answer(answer?.note ? `${done} ${answer.note}` : done, false);
    } catch (refusal) {
      isDone = false;
      this.answer(refusal.message, true);
    }
    this.refresh();
    return isDone;
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
    if (engine) this.offerEngines(engine);
    this.offerSources(await call("camera").catch(() => null));
    const choice = one(`#sideband input[value="${engine?.sideband}"]`);
    if (choice) choice.checked = true;
  }

  /** The engines of this machine; red where the newest phase is not to be trusted. */
  offerEngines({ engines, chosen, trusted, doubt }) {
    const menu = $("engine-choice");
    if (this.engines !== JSON.stringify(engines)) {
      this.engines = JSON.stringify(engines);
      menu.replaceChildren(...engines.map(engineOption));
    }
    if (!menu.disabled || !this.hasChosen) menu.value = chosen;
    this.hasChosen = true;
    menu.disabled = false;
    menu.parentElement.dataset.trusted = String(trusted ?? true);
    menu.parentElement.title =
      doubt ?? "Which engine makes the phase; red where it is not to be trusted on these frames";
  }

  /** The cameras that can be switched to, where there are several. */
  offerSources(answer) {
    const sources = answer?.sources ?? [];
    $("sources").hidden = sources.length < 2;
    if (this.sources === String(sources)) return;
    this.sources = String(sources);
    $("sources").replaceChildren($("sources").firstElementChild, ...sources.map(sourceChoice));
  }

  show({ engine, camera, baseline, quality }) {
    $("engine-name").textContent = `${engine.name} on ${engine.device}`;
    $("engine-name").title = `${engine.name} ${engine.version} (${engine.kind}) on ${engine.device}`;
    $("engine").replaceChildren(...engineRows(engine, quality, this.calibrationNs), ...baselineRows(baseline, engine));
    $("camera-name").textContent = [camera.vendor, camera.model].filter(Boolean).join(" ") || camera.source;
    $("camera-name").title = camera.source;
    for (const choice of all("#sources input")) choice.checked = choice.value === camera.source;
    $("camera").replaceChildren(...cameraRows(camera));
    showOptics(camera.optics);
  }
}

function engineOption({ name, opens, why_not: whyNot, trusted, doubt }) {
  const remark = opens ? (trusted === false ? " (not for these frames)" : "") : " (not on this machine)";
  const option = new Option(name + remark, name);
  option.disabled = !opens;
  option.title = whyNot ?? doubt ?? "";
  return option;
}

function sourceChoice(source) {
  /** @type {any[]} */
  const [label, input, name] = ["label", "input", "span"].map((tag) => document.createElement(tag));
  input.type = "radio";
  input.name = "source";
  input.value = source;
  const kind = source.split(":", 1)[0];
  name.textContent = { replay: "Recording", simulated: "Simulated", gentl: "Camera", mmcore: "Camera" }[kind] ?? kind;
  label.title = source;
  label.append(input, name);
  return label;
}

function engineRows(engine, quality, calibrationNs) {
  const calibration = calibrationNs ? `of ${clock(calibrationNs).slice(0, 8)}` : "none";
  return [
    ...(engine.detail.chosen ? [row("Chosen", engine.detail.chosen, "", engine.detail.chosen)] : []),
    ...networkRows(engine.detail),
    row("Fringes", fringesText(quality), isDoubtful(quality) ? "warn" : "", "What they are like, and their contrast"),
    row("Carrier strength", fixed(quality?.carrier_strength, 0), "", "Spectral peak over what lies around it"),
    row("Sign", signText(engine.detail), "", "Which way the phase of cells counts, and what decided it"),
    ...(quality?.masked_share ? [row("Masked", percent(quality.masked_share), "", "Pixels with too weak fringes")] : []),
    ...(quality?.background_doubt_rad != null
      ? [row("Background ±", `${fixed(quality.background_doubt_rad, 2)} rad`, "", "How far it is likely to be off")]
      : []),
    row(
      "Calibration",
      calibration,
      "",
      "The sample-free frame divided out; without one, a smooth background is fitted",
    ),
  ];
}

function networkRows({ network, file, instrument }) {
  const name = network ?? file;
  return name ? [row("Network", name, "", instrument ? `${name}, trained for ${instrument}` : name)] : [];
}

const percent = (share) => `${fixed(100 * share, share < 0.1 ? 1 : 0)} %`;
const isDoubtful = (quality) => quality?.fringes != null && quality.fringes !== "clear";

function fringesText(quality) {
  if (!quality?.fringes) return "–";
  return quality.fringe_contrast == null ? quality.fringes : `${quality.fringes}, ${percent(quality.fringe_contrast)}`;
}

function signText({ sideband_taken: taken, is_sign_known: isKnown }) {
  if (taken == null) return "–";
  return isKnown === false ? `${taken}, no cells seen yet` : taken;
}

function baselineRows(baseline, engine) {
  if (!baseline || baseline.engine === engine.name) return [];
  const part = `${fixed(100 * baseline.fraction, 0)} % of frames also run through ${baseline.engine}; ${baseline.frames} compared.`;
  return [
    row(
      `Differs from ${baseline.engine}`,
      `${fixed(baseline.rms_rad, 3)} rad`,
      baseline.drift?.is_drifting ? "warn" : "",
      `Root mean square. ${part}`,
    ),
    ...driftRows(baseline.drift),
    row("Agreement", `${fixed(baseline.psnr_db, 1)} dB`, "", `PSNR between the two on the scale 0 … 12 rad. ${part}`),
    row(`${baseline.engine} takes`, `${milliseconds(baseline.latency_ms)} ms`, "", "For its newest frame"),
    ...truthRows(baseline, engine),
  ];
}

function driftRows(drift) {
  if (!drift) return [];
  const expected = `${fixed(drift.expected_rad, 3)} rad`;
  return [row("When promoted", expected, "", `At most ${fixed(drift.largest_expected_rad, 3)} rad. ${drift.sentence ?? ""}`)];
}

function truthRows({ engine: other, engine_error_rad: engineRad, baseline_error_rad: otherRad }, engine) {
  if (engineRad === null) return [];
  const why = "Root mean square difference from the phase that the simulated frames were made from";
  return [
    row(`Error of ${engine.name}`, `${fixed(engineRad, 3)} rad`, "", why),
    row(`Error of ${other}`, `${fixed(otherRad, 3)} rad`, "", why),
  ];
}

/** What holds now, behind the fields that change it. */
function showOptics(optics) {
  const now = {
    wavelength_nm: optics?.wavelength_m * 1e9,
    pixel_um: optics?.pixel_pitch_m * 1e6,
    magnification: optics?.magnification,
    refractive_index: optics?.refractive_index,
  };
  for (const [name, value] of Object.entries(now))
    one(`#optics-form [name=${name}]`).placeholder = value ? String(Number(value.toFixed(4))) : "";
}

function cameraRows({ shape: [height, width], bit_depth: bits, optics }) {
  const pixelUm = optics?.pixel_pitch_m ? (optics.pixel_pitch_m / optics.magnification) * 1e6 : null;
  return [
    row("Frame", `${height} × ${width}, ${bits} bit`, "", "Rows × columns in pixels, bits of a grey value"),
    row("Wavelength", optics?.wavelength_m ? `${fixed(optics.wavelength_m * 1e9, 1)} nm` : "not known"),
    row("Pixel", pixelUm ? `${fixed(pixelUm, 3)} µm` : "not known", "", "In the object plane"),
  ];
}
