// Numbers as people read them: units, signs, ticks.

const TAU = 2 * Math.PI;
const dash = "–";

/** nm of optical path difference per rad: λ/2π. */
export const nmPerRad = (wavelengthM) => (wavelengthM * 1e9) / TAU;

/** A number with `digits` decimals and a true minus sign; a dash where there is none. */
export function fixed(value, digits) {
  if (value === null || value === undefined || !Number.isFinite(value)) return dash;
  const text = value.toFixed(digits).replace("-", "−");
  return /^−0\.?0*$/.test(text) ? text.slice(1) : text;
}

/** Milliseconds, to a hundredth below one. */
export const milliseconds = (value) => fixed(value, value < 1 ? 2 : 1);

/** A count with thin spaces between thousands. */
export const count = (value) =>
  value === null || value === undefined ? dash : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Round steps (1, 2, 5 × 10ⁿ) within low … high, about `most` of them, and the decimals to print them with. */
export function ticks(low, high, most) {
  const step = roundStep((high - low) / most);
  const values = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) values.push(n * step);
  return { values, digits: decimals(step) };
}

/** How many decimals multiples of `step` need. */
export function decimals(step) {
  let digits = 0;
  while (digits < 9 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits += 1;
  return digits;
}

/** The smallest of 1, 2, 5 × 10ⁿ that is at least `value`. */
export function roundStep(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= value * (1 - 1e-9));
}

/** Local clock time of nanoseconds since 1970, to the millisecond (a double holds no more of them). */
export function clock(ns) {
  const time = new Date(ns / 1e6);
  const two = (part) => String(part).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}

/** A number as a person may have typed it (comma or point, either minus); NaN if it is none. */
export const typed = (text) => Number(text.trim().replace("−", "-").replace(",", ".") || NaN);
