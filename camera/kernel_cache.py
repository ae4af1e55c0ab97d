"""Lets Numba compile also where it cannot keep what it compiled: a full disk, a read-only home.

Importing this is enough, and must come before the first kernel is declared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pickle import UnpicklingError
from typing import Any

from numba.core.caching import Cache
from numba.core.dispatcher import Dispatcher

_log = logging.getLogger(__name__)
_has_told = False
_enable_caching = Dispatcher.enable_caching


def _tell(why: object) -> None:
    global _has_told  # noqa: PLW0603 - once for the whole program
    if not _has_told:
        _has_told = True
        _log.warning("compiled code cannot be kept, so the next start compiles again: %s", why)


@contextmanager
def _go_on_without(cache: Any) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _tell(error)
    except (EOFError, UnpicklingError, ValueError) as error:  # what a full disk left of an earlier start
        _tell(repr(error))
        with suppress(OSError):
            cache.flush()


def _enable_where_possible(dispatcher: Any) -> None:
    try:
        _enable_caching(dispatcher)
    except (RuntimeError, OSError) as error:  # no folder can be written to
        _tell(error)


# Numba has no setting for either; both are its own hooks, and the test runs them for real.
_dispatcher: Any = Dispatcher
_dispatcher.enable_caching = _enable_where_possible
_cache: Any = Cache
_cache._guard_against_spurious_io_errors = _go_on_without
