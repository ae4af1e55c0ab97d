"""The process that owns a GenICam camera's driver: it waits for frames and copies each once, into shared memory.

The driver's binding holds the interpreter lock while it waits, takes SIGINT over and may crash. Here it can only hurt
this process, which the service ends and starts again as it likes.

It answers requests on one connection and announces frames on another (see `capture_link`). It ends when asked to, and
when the service is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import reduction
from time import monotonic
from typing import Any

import numpy as np
from qpi_live.camera.child import end_with_parent
from qpi_live.camera.errors import CameraError, CameraLost
from qpi_live.camera.features import CameraListing, Feature
from qpi_live.camera.genicam.capture_link import LOST, CameraFacts, Connection, connection_of
from qpi_live.camera.genicam.capture_stream import FRAME_WAIT_S, CaptureStream
from qpi_live.camera.genicam.device import GentlDevice
from qpi_live.camera.genicam.discovery import list_cameras
from qpi_live.camera.genicam.slots import SlotLayout, Slots, attach_slots
from qpi_live.camera.genicam.window import change_window, read_window

_STUCK_S = 60  # longer than the service waits for any answer
_GLANCE_S = 0.001  # for a frame that may wait; the driver's binding takes 0 for ever
_TELL_S = 1.0  # between two signs of life while a request takes long
_ASKED_OF_DEVICE = ("feature", "set", "load", "fit_window")
_CHANGING = ("set", "load", "fit_window")


class _CaptureProcess:
    def __init__(self, control: Connection, frames: Connection) -> None:
        self._control = control
        self._frames = frames
        self._device: GentlDevice | None = None
        self._stream: CaptureStream | None = None
        self._slots: Slots | None = None
        self._told_at: float | None = None  # when the service was last told that its request goes on
        self._requests: Mapping[str, Callable[..., Any]] = {
            "list": list_cameras,
            "open": self._open,
            "features": self._features,
            "window": lambda: read_window(self._opened.nodes),
            "set_window": lambda change: change_window(self._opened.nodes, change),
            "facts": self._facts,
            "attach": self._attach,
            "start": self._start,
            "stop": self._stop,
        }

    def run(self) -> None:
        """Answer requests and pass frames on until told to close, or until nobody is there to tell."""
        while True:
            try:
                if self._stream is None:
                    _end_unless_back_in(0)
                has_request = self._control.poll(0 if self._stream else None)
                _end_unless_back_in(_STUCK_S)
                if has_request:
                    verb, arguments = self._control.recv()
                    if verb == "close":
                        break
                    self._told_at = monotonic()
                    answer = self._answer(verb, arguments)
                    self._told_at = None
                    self._control.send(answer)
            except (EOFError, OSError):
                break
            if self._stream:
                self._pump(self._stream)
        if self._device:
            self._stop()
            self._device.close()

    @property
    def _opened(self) -> GentlDevice:
        if self._device is None:
            raise CameraLost("the camera is not open")
        return self._device

    def _answer(self, verb: str, arguments: tuple[Any, ...]) -> tuple[bool, object]:
        try:
            request = getattr(self._opened, verb) if verb in _ASKED_OF_DEVICE else self._requests[verb]
            try:
                return True, request(*arguments)
            finally:  # a load that is refused has set some, too
                if self._stream and verb in _CHANGING:
                    self._stream.settings_changed()
        except CameraError as error:
            return False, error
        except Exception as error:
            return False, CameraLost(f"the capture process failed at {verb!r}: {error!r}")

    def _goes_on(self) -> None:
        """The camera has answered something: a request that takes long is under way, and nothing hangs."""
        _end_unless_back_in(_STUCK_S)
        if self._told_at is not None and monotonic() - self._told_at > _TELL_S:
            self._told_at = monotonic()
            with suppress(OSError):  # nobody listens any more: `run` sees it next
                self._control.send((None, None))

    def _pump_what_waits(self) -> None:
        """Frames go on while a long request is answered."""
        for _ in range(max(1, self._opened.waiting())):
            if self._stream is None or not self._pump(self._stream, _GLANCE_S):
                return

    def _pump(self, stream: CaptureStream, wait_s: float = FRAME_WAIT_S) -> bool:
        try:
            return stream.pump(self._frames, wait_s)
        except Exception as error:
            self._stream = None
            stream.end()
            text = str(error) if isinstance(error, CameraError) else f"the capture process failed: {error!r}"
            with suppress(OSError):  # nobody listens any more: `run` sees it next, and lets go of the camera
                self._frames.send_bytes(LOST + text.encode())
        return False

    def _open(self, producer: str, serial: str | None) -> CameraListing:
        self._device = GentlDevice(producer, serial)
        self._device.nodes.on_answer = self._goes_on
        self._device.choose_grey_format()
        return self._device.listing

    def _features(self) -> list[Feature]:
        return self._opened.nodes.all(between=self._pump_what_waits)

    def _facts(self) -> CameraFacts:
        nodes, pixel_format = self._opened.nodes, self._opened.choose_grey_format()
        settings = self._opened.settings()
        return CameraFacts(
            shape=(int(nodes.number("Height") or 0), int(nodes.number("Width") or 0)),
            pixel_format=pixel_format.name,
            bit_depth=pixel_format.bit_depth,
            frame_rate_hz=None if settings.get("TriggerMode") == "On" else nodes.number("AcquisitionFrameRate"),
            settings=settings,
        )

    def _attach(self, layout: SlotLayout, token: str | None) -> None:
        handle: Any = reduction.recv_handle(self._control) if token is None else token
        self._slots = attach_slots(layout, handle)

    def _start(self, session: int) -> None:
        if self._slots is None:
            raise CameraLost("there is nowhere to put frames")
        pixel_format = self._opened.choose_grey_format()
        # Whatever has to be compiled for the format is compiled now, not when the first frame waits.
        pixel_format.read_into(np.empty((1, 2 * pixel_format.group), pixel_format.dtype), bytes(64))
        try:
            self._stream = CaptureStream(self._opened, self._slots, pixel_format, session)
        except CameraLost as lost:
            self._frames.send_bytes(LOST + str(lost).encode())  # whoever waits for frames must know, too
            raise

    def _stop(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            stream.end()


def _end_unless_back_in(seconds: int) -> None:
    """Have the system end this process after `seconds`, or lift that with 0.

    A driver that hangs holds the interpreter lock, so nothing here could notice that the service was killed meanwhile.
    The process would stay, and keep the camera from the next service.
    """
    if sys.platform != "win32":
        signal.alarm(seconds)


def main() -> None:
    """Serve on the two connections whose handles are the command line's arguments."""
    end_with_parent()
    # Ctrl-C, and what a service manager sends to all processes at once, is for the service, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        with suppress(OSError):  # where it is allowed: a frame that is fetched late is lost, all else can wait
            os.nice(-10)
    control, frames = (connection_of(int(argument)) for argument in sys.argv[1:3])
    _CaptureProcess(control, frames).run()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # there is none where the service has none
        stream.flush()
    os._exit(0)  # without running a driver's destructors, some of which hang


if __name__ == "__main__":
    main()
