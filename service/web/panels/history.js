// Two minutes of frame rate and latency, one point a second.

import { axis, ink, plot } from "./plots.js";

const MOST_POINTS = 120;

export class History {
  constructor(host) {
    this.rows = [[], [], [], []];
    this.chart = plot(host, OPTIONS(), this.rows);
  }

  /** Add the rate and the latencies that `stats` tells; a gap where the service did not answer (null). */
  add(stats) {
    const total = stats?.latency_ms.total;
    const point = [Date.now() / 1e3, stats?.fps.delivered ?? null, total?.p50 ?? null, total?.p95 ?? null];
    this.rows.forEach((row, i) => {
      row.push(point[i]);
      if (row.length > MOST_POINTS) row.shift();
    });
    this.chart.setData(this.rows);
  }
}

const agoText = (_, i) => ["−2 min", "−1 min", ""][i];
const fromZero = (_, __, most) => [0, Math.max(1, 1.15 * (most ?? 1))];

const OPTIONS = () => ({
  padding: [8, 0, 0, 0],
  cursor: { show: false },
  scales: {
    x: { time: false, range: () => [Date.now() / 1e3 - MOST_POINTS, Date.now() / 1e3] },
    fps: { range: fromZero },
    ms: { range: fromZero },
  },
  axes: [
    axis({
      size: 18,
      gap: 3,
      incrs: [60],
      values: (_, at) => at.map(agoText),
      splits: () => [-120, -60, 0].map((s) => Date.now() / 1e3 + s),
    }),
    axis({ scale: "fps", size: 28, stroke: ink("rate"), space: 18 }),
    axis({ scale: "ms", side: 1, size: 34, stroke: ink("latency"), space: 18, grid: { show: false } }),
  ],
  series: [
    {},
    { scale: "fps", stroke: ink("rate"), width: 1.5, points: { show: false } },
    { scale: "ms", stroke: ink("latency"), width: 1.5, points: { show: false } },
    { scale: "ms", stroke: ink("latency"), width: 1, dash: [3, 3], points: { show: false } },
  ],
});
