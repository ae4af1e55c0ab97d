// The frame on screen as a file: exactly what is seen, also when the stream has long moved on.

import { lookupTable } from "./colormaps.js";
import { clock, fixed, ticks } from "../units.js";

/** Hand `parts` to the browser as a file called `name`. */
export function download(name, parts, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A file's name: the layer, the frame's number and its capture time (UTC). */
export function fileName(header, layer, suffix) {
  const time = new Date(header.captured_ns / 1e6).toISOString().replace(/[-:]/g, "");
  return `${layer}-${String(header.sequence).padStart(6, "0")}-${time}.${suffix}`;
}

/** NumPy's .npy, version 1.0 (NEP 1): float32, C order, (height, width). */
export function npyParts({ height, width }, values) {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${height}, ${width}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const head = new Uint8Array([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 255, length >> 8]);
  return [head, text.padEnd(length - 1) + "\n", values];
}

const [BYTE, ASCII, SHORT, LONG, RATIONAL] = [1, 2, 3, 4, 5];
const [IJIJ, INFO] = [0x494a494a, 0x696e666f];

/**
 * Baseline TIFF 6.0 with one strip of 32-bit floats, in the header's unit, as the service itself writes it: with
 * ImageJ's way of saying how large a pixel is, and all that is known of the frame as ImageJ's `Info`.
 */
export function tiffParts({ height, width, header, text }, values, layer) {
  const um = header.object_pixel_m ? header.object_pixel_m * 1e6 : null;
  const lines = ["ImageJ=1.54", ...(um ? ["unit=um"] : []), `quantity=${layer} in ${header.unit}`, "\0"];
  const description = new TextEncoder().encode(lines.join("\n"));
  const info = imagejInfo(layer === header.layer ? text : text.replace(`"layer":"${header.layer}"`, `"layer":"${layer}"`));
  const at = {};
  const entries = [
    [256, LONG, 1, width],
    [257, LONG, 1, height],
    [258, SHORT, 1, 32],
    [259, SHORT, 1, 1],
    [262, SHORT, 1, 1],
    [270, ASCII, description.length, "description"],
    [273, LONG, 1, "strip"],
    [277, SHORT, 1, 1],
    [278, LONG, 1, height],
    [279, LONG, 1, values.byteLength],
    [282, RATIONAL, 1, "resolution"],
    [283, RATIONAL, 1, "resolution"],
    [296, SHORT, 1, 1],
    [339, SHORT, 1, 3],
    [50838, LONG, 2, "lengths"],
    [50839, BYTE, info.length, "info"],
  ];
  at.resolution = 8 + 2 + 12 * entries.length + 4;
  at.lengths = at.resolution + 8;
  at.description = at.lengths + 8;
  at.info = at.description + description.length;
  at.strip = Math.ceil((at.info + info.length) / 16) * 16;
  const head = new DataView(new ArrayBuffer(at.strip));
  const longs = (start, ...numbers) => numbers.forEach((number, i) => head.setUint32(start + 4 * i, number, true));
  longs(0, 0x002a4949, 8);
  head.setUint16(8, entries.length, true);
  entries.forEach(([tag, type, size, value], i) => {
    head.setUint16(10 + 12 * i, tag, true);
    head.setUint16(12 + 12 * i, type, true);
    longs(14 + 12 * i, size, at[value] ?? value);
  });
  longs(at.resolution, um ? Math.round(1e6 / um) : 1_000_000, 1_000_000);
  longs(at.lengths, IMAGEJ_HEAD, info.length - IMAGEJ_HEAD);
  new Uint8Array(head.buffer).set(description, at.description);
  new Uint8Array(head.buffer).set(info, at.info);
  return [head, values];
}

const IMAGEJ_HEAD = 12;

/** ImageJ's own tag with one text as `Info`: magic, kind and count, then UTF-16, all little-endian as the file is. */
function imagejInfo(text) {
  const bytes = new Uint8Array(IMAGEJ_HEAD + 2 * text.length);
  const view = new DataView(bytes.buffer);
  [IJIJ, INFO, 1].forEach((number, i) => view.setUint32(4 * i, number, true));
  for (let i = 0; i < text.length; i++) view.setUint16(IMAGEJ_HEAD + 2 * i, text.charCodeAt(i), true);
  return bytes;
}

// In the picture's lower right corner, as on the page.
function drawScaleBar(context, margin, canvas, scaleLength, family) {
  const length = scaleLength(0.22 * canvas.width);
  if (!length) return;
  const [right, bottom] = [margin + canvas.width - 16, margin + canvas.height - 16];
  context.fillStyle = "#fff";
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.lineWidth = 2;
  context.strokeRect(right - length.px, bottom - 6, length.px, 6);
  context.fillRect(right - length.px, bottom - 6, length.px, 6);
  context.font = `600 18px ${family}`;
  context.textAlign = "center";
  context.strokeText(length.text, right - length.px / 2, bottom - 14);
  context.fillText(length.text, right - length.px / 2, bottom - 14);
  context.textAlign = "start";
}

/** The coloured picture with its colour bar and a line that says what it is. */
export async function pngParts({ canvas, scaleLength }, header, map, limits, scale) {
  const [barWidth, margin, labelRoom, footer] = [24, 20, 92, 44];
  const sheet = document.createElement("canvas");
  sheet.width = canvas.width + 2 * margin + margin + barWidth + labelRoom;
  sheet.height = canvas.height + 2 * margin + footer;
  const context = sheet.getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.drawImage(canvas, margin, margin);
  drawScaleBar(context, margin, canvas, scaleLength, family);
  const column = document.createElement("canvas");
  Object.assign(column, { width: 1, height: 256 });
  const colors = Uint32Array.from(lookupTable(map)).reverse();
  column.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(colors.buffer), 1, 256), 0, 0);
  const left = margin + canvas.width + margin;
  context.drawImage(column, left, margin, barWidth, canvas.height);
  context.fillStyle = "#111";
  context.font = `18px ${family}`;
  context.textBaseline = "middle";
  const [low, high] = [limits.low * scale.perRad, limits.high * scale.perRad];
  const { values, digits } = ticks(low, high, canvas.height / 80);
  for (const value of values) {
    const y = margin + (canvas.height * (high - value)) / (high - low);
    context.fillRect(left + barWidth, y - 0.5, 6, 1);
    context.fillText(fixed(value, digits), left + barWidth + 12, y);
  }
  const pixel = header.object_pixel_m ? ` · ${(header.object_pixel_m * 1e6).toPrecision(4)} µm per pixel` : "";
  const caption = `${scale.title} · frame ${header.sequence} · ${clock(header.captured_ns)} · ${header.engine.name}${pixel}`;
  context.fillText(caption, margin, canvas.height + margin + footer / 2 + 6, sheet.width - 2 * margin);
  return [await new Promise((done) => sheet.toBlob(done, "image/png"))];
}
