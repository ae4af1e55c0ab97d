"""What tests ask of a window: to live until something is true."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

import pytest

PATIENCE_S = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    """Let the window live until `condition` holds; fail, naming `what` was waited for, if it never does."""
    from qtpy.QtWidgets import QApplication

    give_up = monotonic() + PATIENCE_S
    while not condition():
        if monotonic() > give_up:
            pytest.fail(f"waited {PATIENCE_S:g} s in vain: {what}")
        QApplication.instance().processEvents()
        sleep(0.001)  # for the threads that bring frames
