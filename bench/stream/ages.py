"""The age of frames at a program, by its pace and by the width of its line."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from time import monotonic, sleep, time_ns
from typing import Any

import numpy as np
from qpi_live.bench.stream.relay import line_of
from qpi_live.service.client import PhaseClient

MARGIN_MS = 50.0
_FEWEST, _MOST = 3, 20
_ROW_S = 12.0
_ANSWER_S = 600.0


@dataclass(frozen=True, slots=True)
class Row:
    """A program that takes `pause_s` over each frame of `size`² pixels behind a line of `bytes_per_s` (0: no limit)."""

    size: int
    pause_s: float
    bytes_per_s: float

    @property
    def frame_bytes(self) -> int:
        """Bytes of one float32 frame."""
        return 4 * self.size**2

    @property
    def transfer_s(self) -> float:
        """How long a frame is on its way, where the line alone decides."""
        return self.frame_bytes / self.bytes_per_s if self.bytes_per_s else 0.0


def measure(url: str, row: Row) -> dict[str, Any]:
    """Ages in ms when the program gets the frame, and how many are within the frame's period, its making and its way.

    The first two frames are left out: they were under way before the program had its pace.
    """
    ages_ms: list[float] = []
    made_ms: list[float] = []
    with line_of(url, row.bytes_per_s) as address, PhaseClient(address, timeout_s=_ANSWER_S) as client:
        with closing(client.frames(wait_s=_ANSWER_S)) as frames:
            for _ in range(2):
                next(frames)
                sleep(row.pause_s)
            started = monotonic()
            while len(ages_ms) < _FEWEST or (len(ages_ms) < _MOST and monotonic() - started < _ROW_S):
                header = next(frames).header
                ages_ms.append((time_ns() - header.captured_ns) / 1e6)
                made_ms.append(header.stages_ms["total"] + header.stages_ms["encode"])
                sleep(row.pause_s)
        with PhaseClient(url) as direct:
            delivered_hz = direct.stats().fps.delivered
    period_ms = 1e3 / delivered_hz if delivered_hz else float("nan")
    allowed_ms = [period_ms + made + row.transfer_s * 1e3 + MARGIN_MS for made in made_ms]
    return {
        "pixels": [row.size, row.size],
        "frame_bytes": row.frame_bytes,
        "pause_s": row.pause_s,
        "line_bytes_per_s": row.bytes_per_s or None,
        "frames": len(ages_ms),
        "age_p50_ms": round(float(np.percentile(ages_ms, 50)), 1),
        "age_p99_ms": round(float(np.percentile(ages_ms, 99)), 1),
        "period_ms": round(period_ms, 1),
        "made_ms": round(float(np.median(made_ms)), 1),
        "transfer_ms": round(row.transfer_s * 1e3, 1),
        "allowed_ms": round(float(np.median(allowed_ms)), 1),
        "within": sum(age <= allowed for age, allowed in zip(ages_ms, allowed_ms, strict=True)),
    }
