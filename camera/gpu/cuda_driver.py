"""The driver's calls that every device makes through NVIDIA's own binding: CUDA graphs, locking of pages, the reset.

PyCUDA lacks them, or has them so that the process ends. The CUDA context must be current in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cuda.bindings import driver
from numpy.typing import NDArray
from qpi_live.camera.device import DeviceError, DeviceOutOfMemory


class LaunchableGraph:
    """Stream work that was recorded once."""

    def __init__(self, stream_handle: int, work: Callable[[], None]) -> None:
        """Record what `work` enqueues on the stream.

        Raises:
            DeviceError: some of it cannot be recorded.
        """
        stream = driver.CUstream(stream_handle)
        # Relaxed: other threads go on allocating meanwhile, and in this one a garbage collection may free memory.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        done(driver.cuStreamBeginCapture(stream, mode))
        try:
            work()
        except BaseException:
            _, broken = driver.cuStreamEndCapture(stream)
            if int(broken):
                driver.cuGraphDestroy(broken)
            raise
        (graph,) = done(driver.cuStreamEndCapture(stream))
        try:
            (self._launchable,) = done(driver.cuGraphInstantiate(graph, 0))
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self, stream_handle: int) -> None:
        """Enqueue it all on a stream."""
        done(driver.cuGraphLaunch(self._launchable, driver.CUstream(stream_handle)))

    def free(self) -> None:
        """Give it back to the driver."""
        driver.cuGraphExecDestroy(self._launchable)


def register_pages(pages: NDArray[np.uint8]) -> None:
    """Page-lock memory, which stays its owner's. PyCUDA's own way ends the process with NumPy 2.

    Raises:
        DeviceError: it cannot be locked.
    """
    done(driver.cuMemHostRegister(pages.ctypes.data, pages.nbytes, 0))


def unregister_pages(pages: NDArray[np.uint8]) -> None:
    """Unlock what `register_pages` locked."""
    done(driver.cuMemHostUnregister(pages.ctypes.data))


def reset_first_device() -> None:
    """End all that any library of this process has on the first device, after which it can be opened again."""
    done(driver.cuDevicePrimaryCtxReset(0))


def done(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What the driver answered behind its status.

    Raises:
        DeviceOutOfMemory, DeviceError: the status is not success.
    """
    status, *values = answer
    if status == driver.CUresult.CUDA_SUCCESS:
        return tuple(values)
    kind = DeviceOutOfMemory if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY else DeviceError
    raise kind(f"expected the CUDA driver to do its work, got {status.name}")
