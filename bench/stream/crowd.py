"""Many clients at once: frames a second in all, and how evenly they are shared."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def measure(url: str, clients: int, seconds: float) -> dict[str, Any]:
    """Frames a second in all and of each, and Jain's index of fairness (Jain, Chiu, Hawe 1984): 1 is even."""
    command = [sys.executable, "-m", "qpi_live.bench.stream.reader", url, str(clients), str(seconds)]
    counts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rates = [count / seconds for count in counts]
    squares = sum(rate**2 for rate in rates)
    return {
        "clients": clients,
        "frames_per_s": round(sum(rates), 1),
        "slowest_fps": round(min(rates), 2),
        "fastest_fps": round(max(rates), 2),
        "jain": round(sum(rates) ** 2 / (clients * squares), 5) if squares else None,
    }
