// From numbers to pixels: the limits of the colour scale, and the loops that colour a picture.

const LOW_PART = 0.005;
const HIGH_PART = 0.995;
const MOST_SAMPLES = 16384;
const EASE = 0.05; // how far automatic limits move towards each new frame's own once they move
const STILL_PART = 0.08; // limits stand still while the frame's own stay within this part of their span
const BELOW = 0xff_d8_40_20; // opaque ABGR: blue, for what lies below the lower limit
const ABOVE = 0xff_50_30_ff; // red, for what lies above the upper one
const MASKED = 0xff_30_28_28; // a quiet grey, for pixels without a phase

/** The 0.5 and 99.5 percentiles of an array, from at most 16 384 of its values spread over it. */
export function percentileLimits(values) {
  const stride = Math.max(1, Math.ceil(values.length / MOST_SAMPLES)) | 1; // odd: does not walk down one column
  let samples = new Float32Array(Math.ceil(values.length / stride));
  let taken = 0;
  for (let j = 0; j < values.length; j += stride) if (values[j] === values[j]) samples[taken++] = values[j]; // no NaN
  if (taken === 0) return [0, 1];
  samples = samples.subarray(0, taken).sort();
  const low = samples[Math.floor(LOW_PART * (samples.length - 1))];
  const high = samples[Math.ceil(HIGH_PART * (samples.length - 1))];
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

/** The limits of one layer's colour scale. Automatic ones follow the picture, or stand at `home` where that is given. */
export class Limits {
  constructor(home = null, middle = null) {
    this.home = home;
    this.middle = middle; // a value that stays in the middle
    this.low = home?.[0] ?? 0;
    this.high = home?.[1] ?? 1;
    this.isAuto = true; // else set by hand
    this.isFresh = true; // the next frame decides at once
    this.isMoving = false; // on the way to other limits
    this.auto();
  }

  /** Move automatic limits towards those of the frame's `values`. */
  follow(values) {
    if (!this.isAuto || this.home) return;
    let [low, high] = percentileLimits(values);
    if (this.middle !== null) {
      const reach = Math.max(high - this.middle, this.middle - low);
      [low, high] = [this.middle - reach, this.middle + reach];
    }
    const span = this.high - this.low;
    const isOff = Math.abs(low - this.low) > STILL_PART * span || Math.abs(high - this.high) > STILL_PART * span;
    this.isMoving = isOff || (this.isMoving && Math.abs(high - low - span) > 0.01 * span);
    // Colours that change from frame to frame look like a change of the sample: move late, slowly, and then to the end.
    if (!this.isFresh && !this.isMoving) return;
    const ease = this.isFresh ? 1 : EASE;
    this.low += ease * (low - this.low);
    this.high += ease * (high - this.high);
    this.isFresh = false;
  }

  /** Set by hand; limits that would turn the scale over change nothing. */
  set(low, high) {
    if (!(high > low) || !Number.isFinite(high - low)) return;
    Object.assign(this, { low, high, isAuto: false });
  }

  /** Automatic again, at once. */
  auto() {
    Object.assign(this, { isAuto: true, isFresh: true });
    if (this.home) [this.low, this.high] = this.home;
  }
}

/**
 * Colour `values` of any number type: `table[0]` at `low` and below, `table[255]` at `high` and above; NaN is masked.
 * Where `marksClipped`, values outside of the limits get colours of their own.
 */
export function color(pixels, values, table, low, high, marksClipped = false) {
  const levelsPerUnit = 256 / (high - low);
  if (marksClipped) {
    for (let i = 0; i < pixels.length; i += 1) {
      const value = values[i];
      if (value < low) pixels[i] = BELOW;
      else if (value > high) pixels[i] = ABOVE;
      else pixels[i] = value === value ? table[Math.min(255, ((value - low) * levelsPerUnit) | 0)] : MASKED;
    }
    return;
  }
  for (let i = 0; i < pixels.length; i += 1) {
    const level = ((values[i] - low) * levelsPerUnit) | 0;
    pixels[i] = values[i] === values[i] ? table[level < 0 ? 0 : level > 255 ? 255 : level] : MASKED;
  }
}

/** The phase modulo 2π in (−π, π], in float32 steps as the server takes them. */
export function wrap(phase, wrapped) {
  const turn = Math.fround(2 * Math.PI);
  for (let i = 0; i < phase.length; i += 1) {
    wrapped[i] = phase[i] - Math.fround(Math.round(Math.fround(phase[i] / turn)) * turn);
  }
  return wrapped;
}
