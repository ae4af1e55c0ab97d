"""The one CUDA device of this process. Knows no driver itself, so that asking is safe wherever there is none."""

from __future__ import annotations

import atexit
import ctypes
import sys
from importlib import import_module
from importlib.util import find_spec
from threading import Lock

from qpi_live.camera.device import Device, DeviceUnavailable

_EXTRA = "pip install 'qpi-live[gpu]'"


class _OneDevice:
    """Keeps the device that was opened."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._device: Device | None = None

    def open(self) -> Device:
        with self._lock:
            if self._device is not None and self._device.is_lost:
                lost, self._device = self._device, None
                lost.close()
            if self._device is None:
                self._device = _open_first()
            return self._device

    def close(self) -> None:
        with self._lock:
            device, self._device = self._device, None
            if device is not None:
                device.close()


_one = _OneDevice()
atexit.register(_one.close)


def open_device() -> Device:
    """The first CUDA device (`CUDA_VISIBLE_DEVICES` chooses which that is), the same for all who ask.

    It is shared: nobody closes it. One that was lost is opened again here. Safe to call from any thread.

    Raises:
        DeviceUnavailable: no GPU, no driver, or no binding of it; the text says which, and what to do.
    """
    return _one.open()


def why_no_driver() -> str | None:
    """Why no GPU can be had in this process, as far as the driver's library tells without starting it; None: it may be.

    Takes milliseconds, and whoever forks afterwards may still use the GPU.
    """
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "expected an NVIDIA GPU that works, got: no driver; `nvidia-smi` must list it"
    return None


def _open_first() -> Device:
    """Through PyCUDA where that is installed, else through NVIDIA's own binding."""
    try:
        if find_spec("pycuda") is not None:
            through_pycuda: Device = import_module("qpi_live.camera.gpu.pycuda_device").PyCudaDevice()
            return through_pycuda
        device: Device = import_module("qpi_live.camera.gpu.bindings_device").BindingsDevice()
    except ModuleNotFoundError as missing:
        raise DeviceUnavailable(f"expected the package {missing.name!r} for the GPU, got none: {_EXTRA}") from missing
    except ImportError as error:  # PyCUDA is linked against the driver's library
        raise DeviceUnavailable(
            f"expected NVIDIA's driver, got: {error}; install the GPU's driver, until `nvidia-smi` lists the GPU"
        ) from error
    return device
