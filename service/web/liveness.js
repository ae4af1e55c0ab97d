// Whether what is seen is live, and if not, why: the sentence on the picture, and the one in the bar.

import { $ } from "./dom.js";

const SILENCE_MS = 3000;
const MANY_TRIES = 3; // to connect, before a user is told what may be wrong

export class Liveness {
  constructor() {
    this.isPlaying = false; // a recording is shown instead
    this.isOpen = false;
    this.everOpen = false;
    this.tries = 0;
    this.retryAt = 0;
    this.lastFrameAt = 0;
    this.stats = undefined;
    this.warning = "";
  }

  onFrame() {
    this.lastFrameAt = performance.now();
    this.warning = "";
  }

  onLink(isOpen, retryMs) {
    this.isOpen = isOpen;
    this.everOpen ||= isOpen;
    this.tries += isOpen ? 0 : 1;
    this.retryAt = performance.now() + retryMs;
    if (isOpen) this.lastFrameAt = performance.now();
    this.show();
  }

  /** What the service says between frames; the statistics say it too, a second later. */
  onNews({ status, warning, error }) {
    if (status && this.stats) this.stats.state = { name: status.state, sentence: status.sentence };
    if (warning) this.warning = warning;
    if (error) console.error(error);
    this.show();
  }

  show() {
    const { name, sentence, again } = this.#state();
    $("state").dataset.name = name;
    // Written only when it changes: a screen reader reads it out each time.
    const said = sentence || this.stats?.state.sentence || "Frames are streaming.";
    if ($("state-text").textContent !== said) $("state-text").textContent = said;
    $("notice").hidden = name === "live";
    $("notice").textContent = sentence + again;
    document.body.classList.toggle("stale", !this.isOpen && this.everOpen && !this.isPlaying);
  }

  #state() {
    if (this.isPlaying) return { name: "live", sentence: "A recording is played.", again: "" };
    if (!this.isOpen) {
      const seconds = Math.ceil((this.retryAt - performance.now()) / 1000);
      return {
        name: this.everOpen ? "lost" : "connecting",
        sentence: this.everOpen ? "Connection to the microscope lost." : this.#whyNotConnected(),
        again: seconds > 0 ? ` Trying again in ${seconds} s.` : "",
      };
    }
    if (this.stats && this.stats.state.name !== "live") return { ...this.stats.state, again: "" };
    if (performance.now() - this.lastFrameAt > SILENCE_MS)
      return { name: "waiting", sentence: this.warning || "No frame has come for a while.", again: "" };
    return { name: "live", sentence: "", again: "" };
  }

  /** What to do about a stream that has never opened. */
  #whyNotConnected() {
    if (this.tries < MANY_TRIES) return "Connecting to the microscope.";
    return this.stats
      ? "The service answers, but its stream does not come through. If a proxy stands between, it has to pass WebSocket " +
          "on; or open the page at the service's own address."
      : "The service does not answer. Is it still running, and is this page's address still its own?";
  }
}
