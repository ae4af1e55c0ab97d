// The card of keys: what each does.

import { one } from "../dom.js";

const KEYS = [
  ["space", "freeze, resume"],
  ["1 … 9", "layer"],
  ["arrows", "move the cursor by a pixel; with shift by ten (the picture must have the focus)"],
  ["+ −", "zoom at the cursor"],
  ["w a s d", "pan"],
  ["0", "show the whole picture"],
  ["l", "profile along the cursor's row"],
  ["Esc", "take the profile away"],
  ["u", "rad or nm"],
  ["c", "mark what is clipped by the contrast limits"],
  ["?", "this card"],
];

export class Help {
  constructor() {
    this.dialog = one("#help");
    one("#help-keys").replaceChildren(...KEYS.map(keyRow));
  }

  show() {
    if (!this.dialog.open) this.dialog.showModal();
  }
}

function keyRow([key, action]) {
  const line = document.createElement("div");
  const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = key;
  detail.textContent = action;
  line.append(term, detail);
  return line;
}
