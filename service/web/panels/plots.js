// How a plot looks on this page, around uPlot (MIT; vendor/uplot).

import { decimals, fixed } from "../units.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";

const styles = getComputedStyle(document.documentElement);
export const ink = (name) => styles.getPropertyValue(`--${name}`).trim();
const font = `11px ${styles.getPropertyValue("--font").trim()}`;

/** An axis with a quiet grid; `label` names the quantity and its unit. */
export function axis(options) {
  return {
    font,
    labelFont: font,
    stroke: ink("quiet"),
    grid: { stroke: ink("line"), width: 1 },
    ticks: { show: false },
    gap: 6,
    values: (_, at, __, ___, step) => at.map((value) => fixed(value, decimals(step))),
    labelGap: 0,
    labelSize: 16,
    ...options,
  };
}

/** A plot that fills `host` and goes on filling it. */
export function plot(host, options, data) {
  const size = () => ({ width: Math.max(80, host.clientWidth), height: Math.max(40, host.clientHeight) });
  const chart = new uPlot({ ...size(), legend: { show: false }, ...options }, data, host);
  new ResizeObserver(() => chart.setSize(size())).observe(host);
  return chart;
}
