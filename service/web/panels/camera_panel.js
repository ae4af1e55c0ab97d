// The camera's own controls: exposure, gain, rate, trigger, start and stop. Not shown for a camera that has none.

import { call } from "../api.js";
import { $ } from "../dom.js";
import { download } from "../picture/save.js";

const NUMBERS = ["ExposureTime", "Gain", "AcquisitionFrameRate"];
const TRIGGER = ["TriggerMode", "TriggerSource", "TriggerSoftware"];
const UNITS = { us: "µs" };
const FREE_RUN = "Free run";
const ANSWER_MS = 8000;
const put = (name, value) => call(`camera/features/${name}`, { method: "PUT", json: { value } });

export class CameraPanel {
  constructor() {
    this.paused = false;
    $("camera-run").addEventListener("click", () => this.carryOut(() => this.startOrStop()));
    $("camera-trigger").addEventListener("change", ({ target }) => this.carryOut(() => chooseTrigger(target.value)));
    $("camera-fire").addEventListener("click", () => this.carryOut(() => put("TriggerSoftware", true)));
    $("camera-save").addEventListener("click", () => this.carryOut(save));
    $("camera-load").addEventListener("click", () => $("camera-file").click());
    $("camera-file").addEventListener("change", ({ target }) => this.carryOut(() => load(target)));
    for (const name of NUMBERS)
      $(`camera-${name}`).addEventListener("change", ({ target }) => this.carryOut(() => set(name, target)));
  }

  /** Ask what the camera can be told, and how it stands. */
  async refresh() {
    const answer = await call("camera").catch(() => null);
    $("camera-panel").hidden = !answer?.configurable;
    if (!answer?.configurable) return;
    const features = await Promise.all([...NUMBERS, ...TRIGGER].map(feature));
    const found = Object.fromEntries(features.filter(Boolean).map((one) => [one.name, one]));
    for (const name of NUMBERS) describe(name, found[name]);
    offerTriggers(found);
    this.show(answer);
  }

  /** Show how the camera stands, as the service said it last. */
  show({ paused, camera }) {
    this.paused = paused ?? this.paused;
    $("camera-run").textContent = this.paused ? "Start" : "Stop";
    $("camera-run").setAttribute("aria-pressed", this.paused);
    for (const name of NUMBERS) {
      const input = $(`camera-${name}`);
      if (document.activeElement !== input && camera.settings[name] !== undefined)
        input.value = Number(camera.settings[name].toPrecision(6));
    }
    const { TriggerMode: mode, TriggerSource: source } = camera.settings;
    if (document.activeElement !== $("camera-trigger")) $("camera-trigger").value = mode === "On" ? source : FREE_RUN;
    $("camera-fire").disabled = mode !== "On" || source !== "Software" || this.paused;
  }

  async startOrStop() {
    this.show(await call(this.paused ? "camera/start" : "camera/stop", { method: "POST" }));
  }

  async carryOut(order) {
    clearTimeout(this.timer);
    let refusal = "";
    await order().catch((error) => (refusal = error.message));
    $("camera-answer").textContent = refusal;
    if (refusal) this.timer = setTimeout(() => ($("camera-answer").textContent = ""), ANSWER_MS);
    await this.refresh();
  }
}

function feature(name) {
  return call(`camera/features/${name}`).catch(() => null);
}

function describe(name, feature) {
  const input = $(`camera-${name}`);
  const unit = UNITS[feature?.unit] ?? feature?.unit ?? "";
  input.closest("label").hidden = !feature;
  input.disabled = !feature?.writable;
  if (!feature) return;
  [input.min, input.max] = [feature.minimum ?? "", feature.maximum ?? ""];
  input.nextElementSibling.textContent = unit;
  input.title = feature.minimum === null ? feature.description : `${feature.minimum} … ${feature.maximum} ${unit}`;
}

function offerTriggers({ TriggerMode: mode, TriggerSource: source, TriggerSoftware: software }) {
  const select = $("camera-trigger");
  select.closest("label").hidden = !mode;
  $("camera-fire").hidden = !software;
  const names = [FREE_RUN, ...(source?.choices ?? [])];
  if (names.join() !== [...select.options].map((option) => option.value).join())
    select.replaceChildren(...names.map((name) => new Option(name, name)));
}

async function set(name, input) {
  if (!Number.isFinite(input.valueAsNumber)) throw new Error(`expected a number for ${name}`);
  await put(name, input.valueAsNumber);
}

async function chooseTrigger(source) {
  if (source !== FREE_RUN) await put("TriggerSource", source);
  await put("TriggerMode", source === FREE_RUN ? "Off" : "On");
}

async function save() {
  const settings = await call("camera/settings");
  download("camera-settings.json", [JSON.stringify(settings, null, 2) + "\n"], "application/json");
}

async function load(input) {
  const [file] = input.files;
  if (!file) return;
  let settings;
  try {
    settings = JSON.parse(await file.text());
  } catch {
    throw new Error(`expected camera settings as JSON, as Save writes them, in ${file.name}`);
  } finally {
    input.value = ""; // so that the same file can be chosen again
  }
  await call("camera/settings", { method: "PUT", json: settings });
}
