"""Failures that may come at the camera's rate: each distinct one is logged once, and counted from then on."""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic

_AGAIN_S = 60.0  # how long a failure that goes on stays quiet before its count is logged
_MOST_KINDS = 64
_Kind = tuple[str, str, int]


class FailureLog:
    """Logs unforeseen failures. Two are alike that were raised as the same exception at the same line.

    Safe to use from any thread.

    Args:
        log: where to.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = Lock()
        self._seen: dict[_Kind, tuple[int, float]] = {}  # how often, and when it was logged last

    def note(self, what: str, error: BaseException) -> None:
        """Log that `what` happened: with its traceback the first time, as a count each minute while it goes on."""
        now, kind = monotonic(), _kind_of(error)
        with self._lock:
            if kind not in self._seen and len(self._seen) >= _MOST_KINDS:
                del self._seen[next(iter(self._seen))]
            times, logged_at = self._seen.get(kind, (0, now))
            is_first, is_due = times == 0, now - logged_at >= _AGAIN_S
            self._seen[kind] = (times + 1, now if is_due else logged_at)
        if is_first:
            self._log.error("%s", what, exc_info=error)
        elif is_due:
            self._log.error("%s, %d times by now: %r", what, times + 1, error)


def _kind_of(error: BaseException) -> _Kind:
    trace, where, line = error.__traceback__, "", 0
    while trace is not None:
        where, line, trace = trace.tb_frame.f_code.co_filename, trace.tb_lineno, trace.tb_next
    return type(error).__qualname__, where, line
