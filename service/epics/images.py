"""A layer of the stream as a process variable of type NTNDArray."""

from __future__ import annotations

import logging
from threading import Event, Lock, Thread

from p4p import Value
from p4p.nt import NTNDArray
from p4p.server.thread import SharedPV
from qpi_live.service.client import PhaseClient, ReceivedFrame, ServiceError

_log = logging.getLogger(__name__)
_LARGEST_ID = 1 << 31  # uniqueId is a 32-bit integer


class ImageVariable:
    """Posts every newest frame of a layer while somebody is connected, and asks for none otherwise.

    Args:
        client: of the service.
        layer: `phase`, `interferogram` and so on.
        max_fps: frames per second at most; 0: all that there are.

    Attributes:
        pv: what a server provides.
    """

    def __init__(self, client: PhaseClient, layer: str, max_fps: float = 0.0) -> None:
        self._client, self._layer, self._max_fps = client, layer, max_fps
        self._type = NTNDArray()
        self._stop = Event()
        self._lock = Lock()  # of connections that come and go
        self._thread: Thread | None = None
        self.pv = SharedPV(handler=self)

    def onFirstConnect(self, _: SharedPV) -> None:  # noqa: N802 (p4p's name)
        """Somebody wants it."""
        with self._lock:
            self._stop = Event()
            self._thread = Thread(
                target=self._post_frames, args=(self._stop,), name=f"epics {self._layer}", daemon=True
            )
            self._thread.start()

    def onLastDisconnect(self, _: SharedPV) -> None:  # noqa: N802 (p4p's name)
        """Nobody wants it any more."""
        self.stop()

    def stop(self) -> None:
        """Ask for no more frames."""
        with self._lock:
            self._stop.set()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _post_frames(self, stop: Event) -> None:
        try:
            for frame in self._client.frames(self._layer, max_fps=self._max_fps, reconnect=True, stop=stop):
                value = self._value(frame)
                if self.pv.isOpen():
                    self.pv.post(value)
                else:
                    self.pv.open(value)
        except ServiceError as error:
            _log.warning("no %s for EPICS: %s", self._layer, error)
        finally:
            if self.pv.isOpen():
                self.pv.close()  # whoever comes next gets a frame of then, not of now

    def _value(self, frame: ReceivedFrame) -> Value:
        header = frame.header
        said = {
            "unit": header.unit,
            "engine": header.engine.name,
            "epoch": header.epoch,
            "warning": header.warning or "",
        }
        lengths = {"wavelength_m": header.wavelength_m, "object_pixel_m": header.object_pixel_m}
        known = {name: length for name, length in lengths.items() if length is not None}
        value = self._type.wrap(frame.values, attrib=said | known)
        seconds, nanoseconds = divmod(header.captured_ns, 10**9)
        for stamp in ("timeStamp", "dataTimeStamp"):
            value[f"{stamp}.secondsPastEpoch"], value[f"{stamp}.nanoseconds"] = seconds, nanoseconds
        value["uniqueId"] = frame.sequence % _LARGEST_ID
        return value
