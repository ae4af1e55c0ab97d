// The keyboard: an action a key, and the arrows for the cursor. A control that has the focus keeps its keys.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const FAST = 10; // pixels a step, with shift

/**
 * Listen from now on.
 * @param {Record<string, () => void>} actions by key
 * @param {(down: number, right: number) => boolean} moveCursor by so many pixels; whether there was something to move on
 * @param {Element} stage the picture, which must have the focus for the arrows
 */
export function listenToKeys(actions, moveCursor, stage) {
  document.addEventListener("keydown", (/** @type {any} */ event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || target.closest("input, select, button, summary")) return;
    const pixels = event.shiftKey ? FAST : 1;
    const [down, right] = target === stage ? (STEPS[key] ?? [0, 0]) : [0, 0];
    if (actions[key]) actions[key]();
    else if (!(down || right) || !moveCursor(down * pixels, right * pixels)) return;
    event.preventDefault();
  });
}
