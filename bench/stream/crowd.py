"""Many clients at once: frames a second in all, and how evenly they are shared."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from qpi_live.bench.stream.plain import plain_sender


def measure(url: str, clients: int, seconds: float, frame_bytes: int) -> dict[str, Any]:
    """Frames a second in all and of each, and Jain's index of fairness (Jain, Chiu, Hawe 1984): 1 is even.

    Beside it, what plain sockets get through to as many clients of the same kind right after, with frames of
    `frame_bytes`: no service can send more here.
    """
    rates = _rates(url, clients, seconds)
    with plain_sender(frame_bytes) as address:
        plain = _rates(address, clients, seconds)
    squares = sum(rate**2 for rate in rates)
    return {
        "clients": clients,
        "frames_per_s": round(sum(rates), 1),
        "plain_sockets_frames_per_s": round(sum(plain), 1),
        "slowest_fps": round(min(rates), 2),
        "fastest_fps": round(max(rates), 2),
        "jain": round(sum(rates) ** 2 / (clients * squares), 5) if squares else None,
    }


def _rates(url: str, clients: int, seconds: float) -> list[float]:
    command = [sys.executable, "-m", "qpi_live.bench.stream.reader", url, str(clients), str(seconds)]
    counts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [count / seconds for count in counts]
