// Colour maps, computed in OKLab (B. Ottosson, "A perceptual color space for image processing", 2020), so that equal
// steps of phase are equal steps of lightness.

const LEVELS = 256;

// Each map's stops are [lightness, chroma, hue in degrees], evenly spaced from the lowest value to the highest.
const STOPS = {
  perceptual: [
    [0.26, 0.125, 318],
    [0.424, 0.115, 265],
    [0.588, 0.1, 195],
    [0.751, 0.165, 148],
    [0.915, 0.185, 106],
  ],
  heat: [
    [0.08, 0.02, 280],
    [0.3, 0.14, 308],
    [0.53, 0.18, 370],
    [0.75, 0.17, 424],
    [0.97, 0.09, 468],
  ],
};

export const MAPS = [
  ["perceptual", "Perceptual"],
  ["heat", "Heat"],
  ["grey", "Grey"],
  ["cyclic", "Cyclic"],
  ["difference", "Difference"],
];

const cache = new Map();

/** A map's 256 colours as Uint32Array of opaque canvas pixels (ABGR in a little-endian word). */
export function lookupTable(name) {
  if (!cache.has(name)) {
    const table = new Uint32Array(LEVELS);
    for (let level = 0; level < LEVELS; level += 1) table[level] = pixel(...shade(name, level / (LEVELS - 1)));
    cache.set(name, table);
  }
  return cache.get(name);
}

function shade(name, t) {
  if (name === "cyclic") return cyclic(t);
  if (name === "difference") return diverging(2 * t - 1);
  if (name === "grey") return [t, t, t]; // plain grey values, as every camera program shows them
  const stops = STOPS[name];
  const place = Math.min(t * (stops.length - 1), stops.length - 1 - 1e-9);
  const [low, high] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
  const part = place % 1;
  return srgb(...low.map((start, i) => start + part * (high[i] - start)));
}

// Both ends are the same light grey, so that −π and π look alike; zero is a middle grey that is no shadow, blue below it
// and red above.
function cyclic(t) {
  const turn = 2 * Math.PI * t;
  return srgb(0.68 + 0.23 * Math.cos(turn), 0.13 * Math.abs(Math.sin(turn)) ** 0.8, t < 0.5 ? 255 : 35);
}

// Zero is nearly white; below it is blue, above it red.
function diverging(s) {
  return srgb(0.92 - 0.45 * Math.abs(s), 0.17 * Math.abs(s), s < 0 ? 255 : 30);
}

function srgb(lightness, chroma, hueDegrees) {
  const a = chroma * Math.cos((hueDegrees * Math.PI) / 180);
  const b = chroma * Math.sin((hueDegrees * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((linear) => (linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055));
}

function pixel(...rgb) {
  const [red, green, blue] = rgb.map((part) => Math.round(255 * Math.min(1, Math.max(0, part))));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
