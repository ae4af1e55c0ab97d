"""Ctrl+C while a command writes files or has others work for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer, current_thread, main_thread
from types import FrameType

from qpi_live.service.cli.leaving import STOPPED, say_stopped

_LONGEST_S = 2.5


@contextmanager
def closing_on_ctrl_c() -> Iterator[None]:
    """On Ctrl+C, let the block close what it has opened, and end; at once where told twice, or where it takes long.

    So no half of a file is left, and no process at work. On another thread than the main one, nothing is changed.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        with suppress(OSError, ValueError):  # nobody may read it any more
            sys.stdout.flush()
        os._exit(STOPPED)  # threads of libraries that are left would complain
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(_: int, __: FrameType | None) -> None:
    say_stopped()
    signal.signal(signal.SIGINT, lambda *_: os._exit(STOPPED))
    deadline = Timer(_LONGEST_S, os._exit, (STOPPED,))
    deadline.daemon = True
    deadline.start()
    raise KeyboardInterrupt
