// What the service says of itself, asked once a second.

import { call } from "../api.js";
import { $ } from "../dom.js";
import { History } from "./history.js";
import { row } from "./rows.js";
import { count, fixed, milliseconds } from "../units.js";

const PERIOD_MS = 1000;
const SKIPS = new Set(["queue full"]);

export class StatsPanel {
  /** `onStats` gets each answer, or null where none came. */
  constructor(onStats) {
    this.onStats = onStats;
    this.history = new History($("history"));
  }

  async run() {
    for (;;) {
      if (!document.hidden) {
        const stats = await call("stats").catch(() => null);
        this.show(stats);
        this.onStats(stats);
      }
      await new Promise((done) => setTimeout(done, PERIOD_MS));
    }
  }

  show(stats) {
    this.history.add(stats);
    const total = stats?.latency_ms.total;
    $("fps").textContent = fixed(stats?.fps.delivered, 1);
    $("fps-of").textContent = stats ? `of ${fixed(stats.fps.captured, 1)} fps` : "fps";
    $("latency-p50").textContent = fixed(total?.p50, total?.p50 < 10 ? 1 : 0);
    $("latency-p95").textContent = fixed(total?.p95, total?.p95 < 10 ? 1 : 0);
    if (!stats) return;
    $("account").replaceChildren(...accountRows(stats));
    $("stages").tBodies[0].replaceChildren(...Object.entries(stats.latency_ms).map(stageRow));
  }
}

function accountRows({ account, uploads, last_failure: lastFailure }) {
  const losses = (reasons, tone, verb, why) =>
    Object.entries(reasons).map(([reason, frames]) => row(`${verb}: ${reason}`, count(frames), tone, why));
  return [
    row("Captured", count(account.captured)),
    row("Delivered", count(account.delivered)),
    ...Object.entries(account.dropped).map(([reason, frames]) =>
      SKIPS.has(reason)
        ? row("Skipped to stay live", count(frames), "", "The newest frame took their place; the camera is faster than the engine")
        : row(`Dropped: ${reason}`, count(frames), "warn"),
    ),
    ...losses(account.failed, "bad", "Failed", lastFailure ?? ""),
    ...losses(uploads?.through_host ?? {}, "warn", "Not on the GPU in time"),
  ];
}

function stageRow([stage, took]) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = stage.replaceAll("_", " ");
  const cells = [took.p50, took.p95, took.max].map((ms) => {
    const cell = document.createElement("td");
    cell.textContent = milliseconds(ms);
    return cell;
  });
  line.append(name, ...cells);
  return line;
}
