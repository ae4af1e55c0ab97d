// A WebSocket that comes back: asks for phase with another layer beside it, hands over each whole frame, asks for
// the next one when it has, and tries again when the line is cut.
//
// Asked for as float32, an interferogram comes in the camera's own uint8 or uint16: its grey values are exact.

import { addressOf } from "./api.js";
import { decode } from "./wire.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5000;
const READY = JSON.stringify({ ready: true });

export class FrameStream {
  /**
   * @param wanted what else to ask the server for: {max_fps, downscale}
   * @param onFrame called with each frame: {phase, beside}, both decoded
   * @param onLink called with (isOpen, retryMs) whenever the line opens, or is cut and will be tried again
   * @param {(news: any) => void} onNews called with what the service says between frames: {status}, {warning} or {error}
   */
  constructor(wanted, onFrame, onLink, onNews = () => {}) {
    this.wanted = { layer: "phase", beside: "interferogram", dtype: "float32", credit: true, ...wanted };
    this.onFrame = onFrame;
    this.onLink = onLink;
    this.onNews = onNews;
    this.socket = null;
    this.phase = null;
    this.retryMs = FIRST_RETRY_MS;
    this.timer = 0;
  }

  /** Open the line; where it is open already, it stays the only one. */
  open() {
    clearTimeout(this.timer);
    if (this.socket) return;
    const address = addressOf("stream");
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of Object.entries(this.wanted)) address.searchParams.set(name, String(value));
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.phase = null;
    socket.onopen = () => this.onLink(true, 0);
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return; // let go of, with a frame still under way
      if (typeof data === "string") {
        this.onNews(JSON.parse(data));
        return;
      }
      this.retryMs = FIRST_RETRY_MS; // only a frame proves that the line works
      this.take(decode(data));
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.onLink(false, this.retryMs);
      this.timer = setTimeout(() => this.open(), this.retryMs);
      this.retryMs = Math.min(2 * this.retryMs, LONGEST_RETRY_MS);
    };
  }

  /** Each frame comes as two messages, the layer that was asked for first. */
  take(layer) {
    const first = this.phase;
    if (first?.header.sequence !== layer.header.sequence) {
      this.phase = layer;
      return;
    }
    this.phase = null;
    this.onFrame({ phase: first, beside: layer });
    this.socket.send(READY); // a page that is busy drawing gets here later, and finds the newest frame then
  }

  /** Let go of the line without trying again, until `open`. */
  close() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  /** Ask for something else from now on. */
  want(changes) {
    Object.assign(this.wanted, changes);
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(this.wanted));
  }
}
