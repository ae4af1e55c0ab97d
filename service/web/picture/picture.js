// One picture on its stage: a canvas of the frame's own pixels, laid out by the shared view, and what is drawn over it.
//
// Positions are (y, x) in camera pixels, however much the stream was scaled down; pixel i covers i … i + 1.

import { roundStep } from "../units.js";

const SVG = "http://www.w3.org/2000/svg";
const CLICK_PX = 3; // a shorter drag is a click
const WHEEL_ZOOM = 0.0015;
const BAR_PART = 0.22; // of the stage's width that the scale bar takes at most

export class Picture {
  /** `hands` is told what the person does: cursorAt(y, x), lineDrawn({y0, x0, y1, x1}). */
  constructor(stage, view, hands) {
    this.stage = stage;
    this.view = view;
    this.hands = hands;
    this.canvas = stage.querySelector("canvas");
    this.overlay = stage.querySelector("svg");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.field = { height: 0, width: 0, pixelM: null };
    this.marks = { cursor: null, line: null };
    this.extras = []; // (picture) => marks that others draw over it
    this.tool = null; // {begin, move, end} of whoever wants the next drag, told of pixels
    this.area = null; // that is being drawn
    this.areaDrawn = null; // who wants the next drag to draw an area
    this.scaleLength = (mostPx) => {
      const { pixelM, width } = this.field;
      return pixelM ? roundLength(mostPx, (pixelM * width) / this.canvas.width) : null;
    };
    new ResizeObserver(() => this.layOut()).observe(stage);
    this.listen();
  }

  /** Show `layer` as `fill(pixels)` colours it: a Uint32Array with one opaque pixel for each of its values. */
  show(layer, fill) {
    const { height, width, header } = layer;
    if (this.canvas.width !== width || this.canvas.height !== height || !this.image) {
      Object.assign(this.canvas, { width, height });
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    fill(this.pixels);
    this.context.putImageData(this.image, 0, 0);
    const pixelM = header.object_pixel_m ? header.object_pixel_m / header.downscale : null;
    const field = { height: height * header.downscale, width: width * header.downscale, pixelM };
    if (Object.keys(field).some((key) => field[key] !== this.field[key])) {
      this.field = field;
      this.layOut();
    }
  }

  /** Draw the cursor and the profile line where they are now. */
  mark(cursor, line) {
    this.marks = { cursor, line };
    this.drawOverlay();
  }

  /** Let the next drag draw an area {y, x, height, width} for `drawn`; null: a line again. */
  drawArea(drawn) {
    this.areaDrawn = drawn;
    this.area = null;
    this.drawOverlay();
  }

  /** Place the canvas on the stage as the view says. */
  layOut() {
    const { clientWidth, clientHeight } = this.stage;
    const { height, width } = this.field;
    if (!height || !clientHeight) return;
    const fit = Math.min(clientWidth / width, clientHeight / height);
    this.scale = fit * this.view.zoom;
    this.left = place(clientWidth, this.scale * width, this.view.centerX);
    this.top = place(clientHeight, this.scale * height, this.view.centerY);
    const style = this.canvas.style;
    style.width = `${this.scale * width}px`;
    style.height = `${this.scale * height}px`;
    style.transform = `translate(${this.left}px, ${this.top}px)`;
    const screenPixels = (this.scale * devicePixelRatio * width) / this.canvas.width;
    style.imageRendering = screenPixels >= 2 ? "pixelated" : "auto";
    this.drawOverlay();
  }

  drawOverlay() {
    const { clientWidth, clientHeight } = this.stage;
    this.overlay.setAttribute("viewBox", `0 0 ${clientWidth} ${clientHeight}`);
    const marks = [];
    if (this.field.height) marks.push(...this.cursorMarks(), ...this.lineMarks(), ...this.areaMarks(), ...this.scaleBar());
    if (this.field.height) marks.unshift(...this.extras.flatMap((drawn) => drawn(this)));
    this.overlay.replaceChildren(...marks);
  }

  cursorMarks() {
    if (!this.marks.cursor) return [];
    const [x, y] = this.onStage(this.marks.cursor.y + 0.5, this.marks.cursor.x + 0.5);
    const arm = (x1, y1, x2, y2) => shape("line", { x1: x + x1, y1: y + y1, x2: x + x2, y2: y + y2, class: "cursor" });
    return [arm(-12, 0, -4, 0), arm(4, 0, 12, 0), arm(0, -12, 0, -4), arm(0, 4, 0, 12)];
  }

  lineMarks() {
    const { line } = this.marks;
    if (!line) return [];
    const [x1, y1] = this.onStage(line.y0 + 0.5, line.x0 + 0.5);
    const [x2, y2] = this.onStage(line.y1 + 0.5, line.x1 + 0.5);
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [alongX, alongY] = [(x2 - x1) / length, (y2 - y1) / length];
    const letter = (text, x, y, away) =>
      shape("text", { x: x + 13 * away * alongX, y: y + 13 * away * alongY + 4, class: "end" }, text);
    return [
      shape("line", { x1, y1, x2, y2, class: "line-halo" }),
      shape("line", { x1, y1, x2, y2, class: "line" }),
      letter("A", x1, y1, -1),
      letter("B", x2, y2, 1),
    ];
  }

  areaMarks() {
    if (!this.area) return [];
    const { y: top, x: left, height, width } = this.area;
    const [x, y] = this.onStage(top, left);
    return [shape("rect", { x, y, width: this.scale * width, height: this.scale * height, class: "area" })];
  }

  scaleBar() {
    const { pixelM, width } = this.field;
    if (!pixelM || this.stage.clientWidth < 200) return [];
    const shown = Math.min(this.stage.clientWidth, this.scale * width);
    const { px: bar, text } = roundLength(BAR_PART * shown, pixelM / this.scale);
    const right = Math.min(this.stage.clientWidth, this.left + this.scale * width) - 16;
    const bottom = Math.min(this.stage.clientHeight, this.top + this.scale * this.field.height) - 16;
    return [
      shape("rect", { x: right - bar, y: bottom - 4, width: bar, height: 4, class: "scale-bar" }),
      shape("text", { x: right - bar / 2, y: bottom - 11, class: "scale-text" }, text),
    ];
  }

  onStage(y, x) {
    return [this.left + this.scale * x, this.top + this.scale * y];
  }

  /** The camera pixel {y, x} under a pointer event, or the nearest one at the field's edge. */
  pixelUnder(event) {
    const box = this.stage.getBoundingClientRect();
    const inside = (position, size) => Math.min(size - 1, Math.max(0, Math.floor(position / this.scale)));
    return {
      y: inside(event.clientY - box.top - this.top, this.field.height),
      x: inside(event.clientX - box.left - this.left, this.field.width),
    };
  }

  listen() {
    const { stage, view } = this;
    stage.addEventListener("pointermove", (event) => this.field.height && this.hands.cursorAt(this.pixelUnder(event)));
    stage.addEventListener("pointerdown", (event) => {
      if (!this.field.height || event.target.closest("button")) return;
      const pans = event.button === 1 || (event.button === 0 && event.shiftKey);
      if (!pans && event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      if (pans) event.preventDefault();
      if (!pans && this.tool) this.use(event, this.tool);
      else if (!pans && this.areaDrawn) this.drag(event, this.areaing(event), () => this.area && this.areaDrawn?.(this.area));
      else this.drag(event, pans ? this.panning(event) : this.lining(event));
    });
    stage.addEventListener("dblclick", () => view.fit());
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const { y, x } = this.pixelUnder(event);
        view.zoomAt(Math.exp(-WHEEL_ZOOM * event.deltaY), (y + 0.5) / this.field.height, (x + 0.5) / this.field.width);
      },
      { passive: false },
    );
  }

  drag(start, move, end = () => {}) {
    const moved = (event) => {
      if (Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) >= CLICK_PX) move(event);
    };
    const done = () => {
      this.stage.removeEventListener("pointermove", moved);
      this.stage.removeEventListener("pointerup", done);
      this.stage.removeEventListener("pointercancel", done);
      end();
    };
    this.stage.addEventListener("pointermove", moved);
    this.stage.addEventListener("pointerup", done);
    this.stage.addEventListener("pointercancel", done);
  }

  lining(start) {
    const { y: y0, x: x0 } = this.pixelUnder(start);
    return (event) => {
      const { y: y1, x: x1 } = this.pixelUnder(event);
      if (y0 !== y1 || x0 !== x1) this.hands.lineDrawn({ y0, x0, y1, x1 });
    };
  }

  areaing(start) {
    const { y: y0, x: x0 } = this.pixelUnder(start);
    return (event) => {
      const { y: y1, x: x1 } = this.pixelUnder(event);
      this.area = { y: Math.min(y0, y1), x: Math.min(x0, x1), height: Math.abs(y1 - y0) + 1, width: Math.abs(x1 - x0) + 1 };
      this.drawOverlay();
    };
  }

  use(start, tool) {
    tool.begin(this.pixelUnder(start));
    this.drag(start, (event) => tool.move(this.pixelUnder(event)), () => tool.end());
  }

  panning(start) {
    const { centerY, centerX } = this.view;
    return (event) => {
      const downPart = (event.clientY - start.clientY) / (this.scale * this.field.height);
      const rightPart = (event.clientX - start.clientX) / (this.scale * this.field.width);
      this.view.moveTo(centerY - downPart, centerX - rightPart);
    };
  }
}

// Where a picture of `size` starts on a stage of `room`: centred if it is smaller, else with `center` in the middle.
function place(room, size, center) {
  if (size <= room) return (room - size) / 2;
  return Math.min(0, Math.max(room - size, room / 2 - center * size));
}

/** The longest round length of at most `mostPx` pixels of `pixelM` metres: {px, text}. */
function roundLength(mostPx, pixelM) {
  const most = mostPx * pixelM;
  const lengthM = [5, 2, 1].map((n) => (n * roundStep(most)) / 10).find((candidate) => candidate <= most * (1 + 1e-9));
  return { px: lengthM / pixelM, text: lengthText(lengthM) };
}

function lengthText(metres) {
  const [factor, unit] = metres >= 1e-3 ? [1e3, "mm"] : metres >= 1e-6 ? [1e6, "µm"] : [1e9, "nm"];
  return `${Number((metres * factor).toPrecision(1))} ${unit}`;
}

/** An element of an overlay. */
export function shape(name, attributes, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
