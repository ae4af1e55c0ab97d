"""How long a test goes on: some seconds in every run, at length before a release."""

from __future__ import annotations

import os

MINUTES = float(os.environ.get("QPI_SOAK_MINUTES", "0"))
"""0 in every run; `QPI_SOAK_MINUTES=10 make test` before a release."""


def at_length(usual: int, long: int) -> int:
    """How often to repeat: `usual`, and `long` where there are minutes to soak."""
    return long if MINUTES else usual
