// From numbers to pixels: the limits of the colour scale, and the loops that colour a picture.

const LOW_PART = 0.005;
const HIGH_PART = 0.995;
const MOST_SAMPLES = 16384;
const EASE = 0.2; // how far automatic limits move towards each new frame's own, so that the colours do not flicker

/** The 0.5 and 99.5 percentiles of an array, from at most 16 384 of its values spread over it. */
export function percentileLimits(values) {
  const stride = Math.max(1, Math.ceil(values.length / MOST_SAMPLES)) | 1; // odd: does not walk down one column
  const samples = new Float32Array(Math.ceil(values.length / stride));
  for (let i = 0, j = 0; j < values.length; i += 1, j += stride) samples[i] = values[j];
  samples.sort();
  const low = samples[Math.floor(LOW_PART * (samples.length - 1))];
  const high = samples[Math.ceil(HIGH_PART * (samples.length - 1))];
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

/** The limits of one layer's colour scale. Automatic ones follow the picture, or stand at `home` where that is given. */
export class Limits {
  constructor(home = null) {
    this.home = home;
    [this.low, this.high] = home ?? [0, 1];
    this.auto();
  }

  /** Move automatic limits towards those of the frame's `values`. */
  follow(values) {
    if (!this.isAuto || this.home) return;
    const [low, high] = percentileLimits(values);
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

/** Colour `values` of any number type: `table[0]` at `low` and below, `table[255]` at `high` and above. */
export function color(pixels, values, table, low, high) {
  const levelsPerUnit = 256 / (high - low);
  for (let i = 0; i < pixels.length; i += 1) {
    const level = ((values[i] - low) * levelsPerUnit) | 0;
    pixels[i] = table[level < 0 ? 0 : level > 255 ? 255 : level];
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
