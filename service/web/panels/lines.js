// Which of several cameras that run at once the page shows: each has a line, an account and a page of its own.

import { call, camera } from "../api.js";
import { $ } from "../dom.js";

/** Offer the cameras that run at once, where there is more than one. */
export async function offerLines() {
  const lines = await call("cameras").catch(() => []);
  const select = $("line-choice");
  select.closest("label").hidden = lines.length < 2;
  if (lines.length < 2) return;
  select.replaceChildren(...lines.map(({ name }) => new Option(name, name)));
  select.value = camera ?? lines[0].name;
  select.addEventListener("change", () => {
    const wanted = new URLSearchParams(location.search);
    wanted.set("camera", select.value);
    location.search = String(wanted); // a line has its own stream, settings and limits: the page begins anew
  });
}
