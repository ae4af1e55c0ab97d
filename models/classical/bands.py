"""Runs a compiled kernel over bands of rows, one band a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from qpi_live.camera.cores import available_cores

Result = TypeVar("Result")


class RowBands:
    """Splits the rows of a frame among threads.

    Numba's own parallel loops abort the process when two threads enter them at once with the threading layer that every
    wheel has. Kernels that release the interpreter lock and take a range of rows do not mind. So the live engine, the
    baseline beside it and a request can all run.

    Args:
        height: rows of the frame.
        threads: how many bands, None for one a core this process may use.
    """

    def __init__(self, height: int, threads: int | None = None) -> None:
        self.threads = max(1, threads or available_cores())
        step = -(-height // self.threads)
        self._bands = [(start, min(start + step, height)) for start in range(0, height, step)]

    def run(self, kernel: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call `kernel(first_row, last_row, *arguments)` for every band at once; its answers, top band first."""
        *others, last = self._bands
        pending = [_threads().submit(kernel, *band, *arguments) for band in others]
        answer = kernel(*last, *arguments)  # this thread works too
        return [future.result() for future in pending] + [answer]


def begun(threads: int | None, call: Callable[..., Result], *arguments: Any) -> Callable[[], Result]:
    """What gives the answer of `call(*arguments)`, which another thread works out meanwhile, where there is one."""
    if max(1, threads or available_cores()) == 1:
        answer = call(*arguments)
        return lambda: answer
    return _threads().submit(call, *arguments).result


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=2 * available_cores(), thread_name_prefix="bands")
