"""The time that each stage takes: percentiles over a sliding window, and histograms for Prometheus."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from time import monotonic

import numpy as np
from prometheus_client import CollectorRegistry, Histogram

WINDOW_S = 30.0
_MOST_SAMPLES = 8192
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045, 0.06, 0.1, 0.2, 0.5, 1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What a stage took over the window, in ms, and from how many frames that is known."""

    p50: float
    p95: float
    p99: float
    max: float
    frames: int


class LatencyBook:
    """Latencies by stage, in ms. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._lock = Lock()
        self._samples: dict[str, deque[tuple[float, float]]] = {}
        self._histogram = Histogram(
            "qpi_stage_seconds",
            "Time a stage took for one frame.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=registry,
        )

    def record(self, stages_ms: Mapping[str, float]) -> None:
        """Note what each stage took for one frame."""
        now = monotonic()
        with self._lock:
            for stage, took_ms in stages_ms.items():
                samples = self._samples.setdefault(stage, deque(maxlen=_MOST_SAMPLES))
                samples.append((now, took_ms))
                while samples[0][0] < now - self._window_s:  # so that memory is flat after the first window
                    samples.popleft()
        for stage, took_ms in stages_ms.items():
            self._histogram.labels(stage).observe(took_ms / 1e3)

    def percentiles(self) -> dict[str, Percentiles]:
        """Each stage's percentiles over the window; a stage without a frame in it is left out."""
        since = monotonic() - self._window_s
        with self._lock:
            recent = {
                stage: [took_ms for at, took_ms in samples if at >= since] for stage, samples in self._samples.items()
            }
        return {stage: _summarise(took_ms) for stage, took_ms in recent.items() if took_ms}


def _summarise(took_ms: list[float]) -> Percentiles:
    p50, p95, p99 = (float(value) for value in np.percentile(took_ms, (50, 95, 99)))
    return Percentiles(p50=p50, p95=p95, p99=p99, max=max(took_ms), frames=len(took_ms))
