"""The process that owns a camera's driver: what it does whatever the driver.

A driver may hold the interpreter lock while it waits, take signals over and crash. Here it can only hurt this process,
which the service ends and starts again as it likes.

It answers requests on one connection and announces frames on another (see `link`). It ends when asked to, and when the
service is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import reduction
from typing import Any, Generic, Protocol, TypeVar

from qpi_live.camera.capture.link import LOST, Connection, connection_of
from qpi_live.camera.capture.slots import SlotLayout, Slots, attach_slots
from qpi_live.camera.child import end_with_parent
from qpi_live.camera.errors import CameraError, CameraLost

FRAME_WAIT_S = 0.02
"""For a frame; requests are looked at in between."""
STUCK_S = 60
"""After which a driver that does not return has its process ended: longer than the service waits for any answer."""


class CaptureStream(Protocol):
    """Frames on their way from a driver into slots."""

    def pump(self, frames: Connection, wait_s: float) -> bool:
        """Wait a little for a frame and pass it on. Whether one came.

        Raises:
            CameraLost: the camera is gone, or changed what it sends.
        """

    def settings_changed(self) -> None:
        """The camera took new settings, which hold for the frames that the driver delivers from now on."""

    def end(self) -> None:
        """Stop the camera's stream and count what is missing."""


class CaptureDevice(Protocol):
    """A driver's camera, open."""

    def close(self) -> None:
        """Let go of it."""


Device = TypeVar("Device", bound=CaptureDevice)


class CaptureProcess(ABC, Generic[Device]):
    """What owns a driver. Each kind has a class of it, which adds to `requests`.

    Args:
        control: brings requests, and takes answers.
        frames: takes the announcements of frames.

    Attributes:
        device: the camera, once it is open.
    """

    def __init__(self, control: Connection, frames: Connection) -> None:
        self.control = control
        self.frames = frames
        self.stream: CaptureStream | None = None
        self.device: Device | None = None
        self._slots: Slots | None = None
        self.requests: dict[str, Callable[..., Any]] = {
            "attach": self._attach,
            "start": self._start,
            "stop": self._stop,
        }

    @abstractmethod
    def begin_stream(self, slots: Slots, session: int) -> CaptureStream:
        """Have the camera send frames.

        Raises:
            CameraError: it does not.
        """

    @property
    def opened(self) -> Device:
        """The camera.

        Raises:
            CameraLost: it is not open.
        """
        if self.device is None:
            raise CameraLost("the camera is not open")
        return self.device

    def of_device(self, verb: str) -> Callable[..., Any]:
        """A request that the camera answers, once it is open."""

        def ask(*arguments: Any) -> Any:
            return getattr(self.opened, verb)(*arguments)

        return ask

    def run(self) -> None:
        """Answer requests and pass frames on until told to close, or until nobody is there to tell."""
        while True:
            try:
                if self.stream is None:
                    end_unless_back_in(0)
                has_request = self.control.poll(0 if self.stream else None)
                end_unless_back_in(STUCK_S)
                if has_request:
                    verb, arguments = self.control.recv()
                    if verb == "close":
                        break
                    self.control.send(self.answer(verb, arguments))
            except (EOFError, OSError):
                break
            if self.stream:
                self.pump(self.stream)
        self._stop()
        if self.device:
            self.device.close()

    def answer(self, verb: str, arguments: tuple[Any, ...]) -> tuple[bool, object]:
        """Whether a request succeeded, and what it returned or raised."""
        try:
            return True, self.requests[verb](*arguments)
        except CameraError as error:
            return False, error
        except Exception as error:
            return False, CameraLost(f"the capture process failed at {verb!r}: {error!r}")

    def changing(self, request: Callable[..., Any]) -> Callable[..., Any]:
        """A request after which frames carry the settings as they are then."""

        def change(*arguments: Any) -> Any:
            try:
                return request(*arguments)
            finally:  # one that is refused may have set some, too
                if self.stream:
                    self.stream.settings_changed()

        return change

    def pump(self, stream: CaptureStream, wait_s: float = FRAME_WAIT_S) -> bool:
        """Pass a frame on, where one comes within `wait_s`; whether one came. A stream that fails is at its end."""
        try:
            return stream.pump(self.frames, wait_s)
        except Exception as error:
            self.stream = None
            stream.end()
            text = str(error) if isinstance(error, CameraError) else f"the capture process failed: {error!r}"
            with suppress(OSError):  # nobody listens any more: `run` sees it next, and lets go of the camera
                self.frames.send_bytes(LOST + text.encode())
        return False

    def _attach(self, layout: SlotLayout, token: str | None) -> None:
        handle: Any = reduction.recv_handle(self.control) if token is None else token
        self._slots = attach_slots(layout, handle)

    def _start(self, session: int) -> None:
        if self._slots is None:
            raise CameraLost("there is nowhere to put frames")
        try:
            self.stream = self.begin_stream(self._slots, session)
        except CameraLost as lost:
            self.frames.send_bytes(LOST + str(lost).encode())  # whoever waits for frames must know, too
            raise

    def _stop(self) -> None:
        stream, self.stream = self.stream, None
        if stream:
            stream.end()


def run_capture_process(make: Callable[[Connection, Connection], CaptureProcess[Any]]) -> None:
    """Serve on the two connections whose handles are the command line's arguments; it does not return.

    Args:
        make: the process from its connection for requests and the one for frames.
    """
    end_with_parent()
    # Ctrl-C, and what a service manager sends to all processes at once, is for the service, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        with suppress(OSError):  # where it is allowed: a frame that is fetched late is lost, all else can wait
            os.nice(-10)
    control, frames = (connection_of(int(argument)) for argument in sys.argv[1:3])
    make(control, frames).run()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # there is none where the service has none
        stream.flush()
    os._exit(0)  # without running a driver's destructors, some of which hang


def end_unless_back_in(seconds: int) -> None:
    """Have the system end this process after `seconds`, or lift that with 0.

    A driver that hangs holds the interpreter lock, so nothing here could notice that the service was killed meanwhile.
    The process would stay, and keep the camera from the next service.
    """
    if sys.platform != "win32":
        signal.alarm(seconds)
