"""Ctrl+C before anything listens to it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def leave_on_ctrl_c() -> None:
    """End quietly on Ctrl+C from now on: nothing is open yet that does not close with the process."""
    signal.signal(signal.SIGINT, _leave)


def _leave(_: int, __: FrameType | None) -> None:
    os.write(sys.stderr.fileno() if sys.stderr else 2, b"Stopped.\n")
    os._exit(130)
