// What the keyboard does on the picture: moves the cursor, draws a line, zooms and pans.

const PAN_PART = 0.25; // of what is seen, a press

export class Moves {
  /** `look` has the cursor, {y, x} or null; `hands` is told what changes it, as by the mouse. */
  constructor(picture, look, hands) {
    this.picture = picture;
    this.look = look;
    this.hands = hands;
  }

  /** Whether there was a picture to move the cursor on. */
  moveCursor(down, right) {
    const { height, width } = this.picture.field;
    if (!height) return false;
    const { y, x } = this.look.cursor ?? { y: height >> 1, x: width >> 1 };
    const within = (position, size) => Math.min(size - 1, Math.max(0, position));
    this.hands.cursorAt({ y: within(y + down, height), x: within(x + right, width) });
    return true;
  }

  /** A line through the cursor, or the middle, for whoever draws with the keyboard. */
  drawLine() {
    const { height, width } = this.picture.field;
    if (!height) return;
    const y = this.look.cursor?.y ?? height >> 1;
    this.hands.lineDrawn({ y0: y, x0: 0, y1: y, x1: width - 1 });
  }

  zoomBy(factor) {
    const { view } = this.picture;
    const { height, width } = this.picture.field;
    if (!height) return;
    const { y, x } = this.look.cursor ?? { y: view.centerY * height, x: view.centerX * width };
    view.zoomAt(factor, (y + 0.5) / height, (x + 0.5) / width);
  }

  panBy(down, right) {
    const { view } = this.picture;
    view.moveTo(view.centerY + (PAN_PART * down) / view.zoom, view.centerX + (PAN_PART * right) / view.zoom);
  }
}
