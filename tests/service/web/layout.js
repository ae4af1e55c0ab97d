// What of the page overlaps, sticks out or scrolls where it should not: pairs of names, none where all is well.
() => {
  const visible = (selector) =>
    [...document.querySelectorAll(selector)].filter((element) => element.offsetParent && element.offsetWidth > 1);
  const box = (element) => element.getBoundingClientRect();
  const name = (element) => element.id || element.className || element.textContent.trim() || element.tagName;
  const meet = (a, b) => a.right > b.left + 1 && b.right > a.left + 1 && a.bottom > b.top + 1 && b.bottom > a.top + 1;
  const frames = "header, .toolbar, .viewport, .card";
  const wrong = [];
  const blocks = visible(frames);
  blocks.forEach((a, i) => blocks.slice(i + 1).forEach((b) => meet(box(a), box(b)) && wrong.push([name(a), name(b)])));
  for (const control of visible("button, select, input, dd, dt")) {
    const frame = control.closest(frames);
    if (!frame) continue;
    const [inner, outer] = [box(control), box(frame)];
    if (inner.left < outer.left - 1 || inner.right > outer.right + 1) wrong.push([name(control), "sticks out"]);
  }
  // The panels may scroll in their column, and a page of one column as a whole; nothing ever does sideways.
  const [page, panels] = [document.documentElement, document.querySelector("aside")];
  for (const element of [page, panels])
    if (element.scrollWidth > element.clientWidth) wrong.push([name(element), "scrolls sideways"]);
  if (innerWidth > 1100 && page.scrollHeight > page.clientHeight) wrong.push(["page", "scrolls"]);
  return wrong;
};
