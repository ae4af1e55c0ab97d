"""A layer that shows the newest frame of a service, for as long as it is started."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from threading import Event, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np
from qpi_live.service.client import PhaseClient, ReceivedFrame, ServiceError
from qpi_live.service.napari.scale import plane_scale
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qpi_live.service.wire import StreamStatus

_USUAL = (0.2, 99.8)  # per cent of the values that the first frame's contrast limits span
_MAPS = {"phase": "viridis", "wrapped": "twilight_shifted", "baseline": "viridis", "network": "viridis"}
_ANNOUNCED_S = 0.25
_GLANCE_S = 0.2
_GOODBYE_S = 2.0


class LiveLayer(QObject):
    """Keeps one image layer of `viewer` on the newest frame; call it from the window's thread only.

    A frame is asked for when the window takes up the one before, so that one waits at most, however slow the window is.
    The layer holds one frame at a time. Whoever listens to `viewer.layers.events`, `layer.events.data` or `thumbnail`
    hears of it a few times a second; `shown` comes with each frame.

    Args:
        viewer: napari's viewer.
        client: of the service.
        wanted: the layer of the stream: `phase`, `interferogram` and so on.
        max_fps: frames per second at most; 0: as many as the window can show.
        downscale: edge of the pixel blocks that are averaged into one.

    Attributes:
        shown: signal with each `ReceivedFrame` that was put into the layer.
        said: signal with what the service says of its line, in a sentence.
        ended: signal when no more frames come: "" after `stop`, or the reason in a sentence.
        layer: napari's layer; None before the first frame.
    """

    shown = Signal(object)
    said = Signal(str)
    ended = Signal(str)
    _came = Signal(object)

    def __init__(
        self, viewer: Any, client: PhaseClient, wanted: str = "phase", max_fps: float = 0.0, downscale: int = 1
    ) -> None:
        super().__init__()
        self._viewer, self._client, self._wanted = viewer, client, wanted
        self._max_fps, self._downscale = max_fps, downscale
        self._stop, self._taken = Event(), Event()
        self._thread = Thread(target=self._receive, name=f"qpi-live {wanted}", daemon=True)
        finalize(self, _end, self._stop, self._taken, self._thread)  # also where the program ends without `stop`
        self._announced = 0.0
        self._units: tuple[str, ...] = ()
        self.layer: Any = None
        self._came.connect(self._show)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def downscale(self) -> int:
        """Edge of the pixel blocks of the camera's frame that are one pixel of the layer."""
        return self._downscale

    def start(self) -> None:
        """Let frames come, from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Let no more frames come; the last one stays. Doing it twice is harmless."""
        self._stop.set()
        self._taken.set()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def wait(self, timeout_s: float) -> bool:
        """Whether the connection is closed within `timeout_s` of `stop`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _receive(self) -> None:
        reason = ""
        try:
            for frame in self._client.frames(
                self._wanted,
                max_fps=self._max_fps,
                downscale=self._downscale,
                reconnect=True,
                on_status=self._hear,
                stop=self._stop,
            ):
                self._taken.clear()
                self._came.emit(frame)
                while not (self._taken.wait(_GLANCE_S) or self._stop.is_set()):
                    pass
        except ServiceError as error:
            reason = str(error)
        with suppress(RuntimeError):  # the window, and this object with it, may be gone
            self.ended.emit(reason)

    def _hear(self, status: StreamStatus) -> None:
        with suppress(RuntimeError):
            self.said.emit(status.sentence)

    def _show(self, frame: ReceivedFrame) -> None:
        if self._stop.is_set():
            return
        self._taken.set()  # the next one travels while this one is sliced and painted
        values = frame.values
        if self.layer is None:
            self.layer = self._found_layer() or self._new_layer(frame, values)
        self._place(frame.header.object_pixel_m)
        self._replace(values, _metadata(frame, self._wanted))
        self.shown.emit(frame)

    def _place(self, object_pixel_m: float | None) -> None:
        scale, units = plane_scale(object_pixel_m)
        if tuple(self.layer.scale) != scale:
            self.layer.scale = scale
        if self._units != units:  # napari's are slow to read
            self.layer.units = self._units = units

    def _replace(self, values: NDArray[Any], metadata: dict[str, Any]) -> None:
        """Another array, never written into: whoever took the one before still has that frame."""
        layer, now = self.layer, monotonic()
        with ExitStack() as silent:
            # The list of layers, which paints its row and with it the whole window anew, histograms and sliders hear of
            # it a few times a second. The picture is drawn each time.
            if values.shape == layer.data.shape and now - self._announced <= _ANNOUNCED_S:
                for emitter in (self._viewer.layers.events, layer.events.data, layer.events.thumbnail):
                    silent.enter_context(emitter.blocker())
            else:
                self._announced = now
            layer.data = values
            layer.metadata = metadata

    def _found_layer(self) -> Any:
        """The layer that an earlier start has left."""
        return next((layer for layer in self._viewer.layers if layer.metadata.get("qpi_layer") == self._wanted), None)

    def _new_layer(self, frame: ReceivedFrame, values: NDArray[Any]) -> Any:
        scale, units = plane_scale(frame.header.object_pixel_m)
        layer = self._viewer.add_image(
            values,
            name=f"{self._wanted} ({frame.unit}), live",
            scale=scale,
            units=units,
            colormap=_MAPS.get(self._wanted, "gray"),
            contrast_limits=_limits(values),
            metadata=_metadata(frame, self._wanted),
        )
        self._viewer.canvas.overlays.scale_bar.visible = True
        return layer

    def _on_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self.stop()


def _end(stop: Event, taken: Event, thread: Thread) -> None:
    """Let the thread say goodbye to the service while Python still runs, which would kill it at its own end."""
    stop.set()
    taken.set()
    if thread.is_alive() and thread is not current_thread():
        thread.join(_GOODBYE_S)


def _metadata(frame: ReceivedFrame, wanted: str) -> dict[str, Any]:
    return {"qpi_layer": wanted, "qpi_frame": frame.header.model_dump(mode="json")}


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    """What most of the values lie within, so that a few hot pixels do not take the contrast."""
    low, high = (float(limit) for limit in np.nanpercentile(values[::4, ::4], _USUAL))
    return (low, high) if high > low else (low, low + 1.0)
