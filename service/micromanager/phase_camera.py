"""A camera device for pymmcore-plus's `UniMMCore` whose images are layers of a running service."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pymmcore_plus import CMMCorePlus
from pymmcore_plus.experimental.unicore import CameraDevice
from qpi_live.service.client import PhaseClient, ReceivedFrame, ServiceError
from qpi_live.service.view import Layer

_LAYERS = tuple(layer.value for layer in Layer)
_ENDING_S = 2.0  # how long a sequence may take to notice that it is over


class PhaseCamera(CameraDevice):  # type: ignore[misc]
    """A camera that sends (H, W) float32 phase in rad, or another layer in its own unit.

        core = UniMMCore()
        core.loadPyDevice("Phase", PhaseCamera(PhaseClient("http://127.0.0.1:8000")))
        core.initializeDevice("Phase")
        core.setCameraDevice("Phase")

    An image is of light that fell after it was asked for: of the frames that reach the service after that, those that
    `Frames to skip` says are left out, since their exposure may have begun earlier. So no image shows a stage that
    still moves. Set it to 0 where a trigger exposes each frame.

    Its exposure is that of the service's camera, where that has one. Its properties are `Layer` and `Frames to skip`.
    An image's metadata have `sequence`, `captured_ns`, `epoch`, `unit`, `engine`, `warning`, and `wavelength_m` and
    `object_pixel_m` where they are known.

    Args:
        client: of the service.
        wait_s: how long an image may be in coming, in s.

    Raises:
        ServiceError: the service cannot be reached.
    """

    def __init__(self, client: PhaseClient, wait_s: float = 30.0) -> None:
        super().__init__()
        self._client = client
        self._wait_s = wait_s
        self._layer = Layer.PHASE.value
        self._skip = 1
        self._stop, self._ended = Event(), Event()
        self._ended.set()
        self._shape = client.stats().camera.shape
        self._dtype: DTypeLike = np.dtype(np.float32)
        self._exposure_ms = 0.0
        self._has_exposure = self._reads_exposure()
        self.register_property(
            "Layer", property_type=str, allowed_values=_LAYERS, getter=_layer_of, setter=PhaseCamera._show
        )
        self.register_property(
            "Frames to skip", property_type=int, limits=(0, 100), getter=_skip_of, setter=PhaseCamera._leave_out
        )

    def initialize(self) -> None:
        """Let images come when they are asked for, also after `shutdown`."""
        self._stop.clear()

    def shutdown(self) -> None:
        """End a sequence that still runs, with its thread and its connection."""
        self._stop.set()
        self._ended.wait(_ENDING_S)

    def get_exposure(self) -> float:
        """The camera's exposure time in ms, as it was set or read last."""
        return self._exposure_ms

    def set_exposure(self, exposure: float) -> None:
        """Set the camera's exposure time in ms. One without (a recording) keeps the number, and changes nothing."""
        if self._has_exposure:
            self._client.camera.set_feature("ExposureTime", exposure * 1000)
            self._reads_exposure()
        else:
            self._exposure_ms = exposure

    def shape(self) -> tuple[int, int]:
        """(H, W) of the newest image."""
        return self._shape

    def dtype(self) -> DTypeLike:
        """Of the images: float32; of an interferogram the camera's own."""
        return self._dtype

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], NDArray[Any]]
    ) -> Iterator[Mapping[str, Any]]:
        """Fill a buffer with each frame that is exposed from now on; see `CameraDevice.start_sequence`.

        Raises:
            ServiceError: no frame comes, or the layer is not there.
        """
        self._ended.clear()
        try:
            yield from self._images(n, get_buffer)
        finally:
            self._ended.set()

    def _images(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], NDArray[Any]]
    ) -> Iterator[Mapping[str, Any]]:
        asked_ns = self._client.stats().now_ns
        left_out, sent = 0, 0
        with closing(self._client.frames(self._layer, wait_s=self._wait_s, stop=self._stop)) as frames:
            for frame in frames:
                if frame.header.captured_ns < asked_ns:
                    continue
                if left_out < self._skip:
                    left_out += 1
                    continue
                values = frame.values
                self._shape, self._dtype = (values.shape[0], values.shape[1]), values.dtype
                get_buffer(values.shape, values.dtype)[:] = values
                yield _described(frame)
                sent += 1
                if n is not None and sent >= n:
                    return
        if not self._stop.is_set():
            raise ServiceError("the service was stopped before all images had come")

    def _reads_exposure(self) -> bool:
        """Read the exposure time; whether the camera has one."""
        try:
            self._exposure_ms = float(self._client.camera.feature("ExposureTime")["value"]) / 1000
        except ServiceError as error:
            if error.status is None:
                raise
            return False
        return True

    def _show(self, layer: str) -> None:
        self._layer = layer

    def _leave_out(self, frames: int) -> None:
        self._skip = int(frames)


def _layer_of(camera: PhaseCamera) -> str:
    return camera._layer


def _skip_of(camera: PhaseCamera) -> int:
    return camera._skip


def _described(frame: ReceivedFrame) -> dict[str, Any]:
    """What is known of an image, for Micro-Manager's metadata."""
    header = frame.header
    lengths = {"wavelength_m": header.wavelength_m, "object_pixel_m": header.object_pixel_m}
    return {
        "sequence": header.sequence,
        "captured_ns": header.captured_ns,
        "epoch": header.epoch,
        "unit": header.unit,
        "engine": header.engine.name,
        "warning": header.warning or "",
    } | {name: length for name, length in lengths.items() if length is not None}


def _end_events() -> None:
    """Let every core of this program send no more events, while Python still runs.

    A core sends them by a thread of its own. One that is on its way when Python ends kills the program ("exception not
    rethrown"): Python ends the thread, which C++ does not allow. pymmcore-plus does this only for a core that was
    deleted before.
    """
    for each in gc.get_objects():
        if issubclass(type(each), CMMCorePlus):
            super(CMMCorePlus, each).registerCallback(None)


atexit.register(_end_events)
