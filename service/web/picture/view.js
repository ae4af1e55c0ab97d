// Which part of the camera's field the pictures show: one zoom and one centre for all of them.

const WHOLE = { zoom: 1, centerY: 0.5, centerX: 0.5 };
const MOST_ZOOM = 40;

export class View {
  constructor(onChange) {
    this.onChange = onChange;
    Object.assign(this, WHOLE);
  }

  get isFit() {
    return this.zoom === 1;
  }

  fit() {
    Object.assign(this, WHOLE);
    this.onChange();
  }

  /** Zoom by `factor` so that the point at (y, x), as fractions of the field, stays where it is. */
  zoomAt(factor, y, x) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    const kept = this.zoom / zoom;
    this.zoom = zoom;
    this.moveTo(y + kept * (this.centerY - y), x + kept * (this.centerX - x));
  }

  /** Put the point (y, x), as fractions of the field, in the middle, as far as the field's edges allow. */
  moveTo(y, x) {
    const margin = 0.5 / this.zoom;
    this.centerY = Math.min(1 - margin, Math.max(margin, y));
    this.centerX = Math.min(1 - margin, Math.max(margin, x));
    this.onChange();
  }
}
