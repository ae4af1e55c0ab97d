"""How many CPU cores this process may use: as many as a container or `taskset` leaves it."""

from __future__ import annotations

import os


def available_cores() -> int:
    """CPU cores this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
