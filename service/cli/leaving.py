"""Ctrl+C before anything listens to it."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # `typing` takes longer to import than all else here, and nothing listens yet
if TYPE_CHECKING:
    from types import FrameType

STOPPED = 130  # what shells say of a command that Ctrl+C ended


def leave_on_ctrl_c() -> None:
    """End quietly on Ctrl+C from now on: nothing is open yet that does not close with the process."""
    signal.signal(signal.SIGINT, _leave)


def say_stopped() -> None:
    """Say so, whatever was being written at this moment."""
    os.write(sys.stderr.fileno() if sys.stderr else 2, b"Stopped.\n")


def _leave(_: int, __: FrameType | None) -> None:
    say_stopped()
    os._exit(STOPPED)
