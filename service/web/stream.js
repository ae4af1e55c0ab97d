// A WebSocket that comes back: asks for phase with the interferogram beside it, hands over each whole frame, and
// tries again when the line is cut.
//
// Asked for as float32, an interferogram comes in the camera's own uint8 or uint16: its grey values are exact.

import { decode } from "./wire.js";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5000;

export class FrameStream {
  /**
   * @param wanted what else to ask the server for: {max_fps, downscale}
   * @param onFrame called with each frame: {phase, interferogram}, both decoded
   * @param onLink called with (isOpen, retryMs) whenever the line opens, or is cut and will be tried again
   */
  constructor(wanted, onFrame, onLink) {
    this.wanted = { layer: "phase", beside: "interferogram", dtype: "float32", ...wanted };
    this.onFrame = onFrame;
    this.onLink = onLink;
    this.socket = null;
    this.phase = null;
    this.retryMs = FIRST_RETRY_MS;
    this.timer = 0;
  }

  open() {
    clearTimeout(this.timer);
    const address = new URL("api/v1/stream", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams(this.wanted);
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => this.onLink(true, 0);
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") throw new Error(data); // the service refused what was asked for
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
    if (layer.header.layer !== "interferogram") this.phase = layer;
    else if (layer.header.sequence === this.phase?.header.sequence)
      this.onFrame({ phase: this.phase, interferogram: layer });
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
