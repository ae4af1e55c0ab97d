"""The service's side of a capture process: start it, ask it, hear of its frames, end it."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe, reduction
from threading import Lock
from typing import Any, ClassVar

from qpi_live.camera.capture.slots import SlotLayout, Slots, create_slots
from qpi_live.camera.child import start_child
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.features import FeatureValue

NO_SLOT = "no slot free"
"""Why a capture process loses a frame, whatever its driver."""

FRAME, LOST, SETTINGS = b"F", b"L", b"S"
FRAME_MESSAGE = "<cIIqq?Q?Q"
"""FRAME, session, slot, captured_ns, captured_monotonic_ns; then whether there is a device id, the id, and the same for
the device's time stamp. GenTL has both as unsigned 64-bit integers.

SETTINGS and a JSON object go ahead of the first frame that they hold for. So nothing of them is sent per frame, and
none can be taken for another's. LOST and a sentence is the last message of a stream.
"""

_ANSWER_S = 30.0  # opening a camera on a network takes seconds
_CLOSE_S = 3.0

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

__all__ = ["Connection"]


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """A frame that lies in a slot of the session's slots, and the settings that were in force for it."""

    session: int
    slot: int
    captured_ns: int
    captured_monotonic_ns: int
    device_id: int | None
    device_timestamp_ns: int | None
    settings: Mapping[str, FeatureValue]


def connection_of(handle: int) -> Connection:
    """The connection behind a handle that was inherited."""
    return Connection(handle)


class ProcessLink:
    """A capture process that runs, from construction until `close`. Each kind of driver has a class of it.

    `ask` may be called from any thread; `receive` from one.

    Args:
        answer_s: how long the driver may not return during a request before it is taken to hang and the process is
            ended. A request that goes on, however slowly, may take any time.
    """

    PROCESS: ClassVar[str]
    """The module that is the process."""
    DOING: ClassVar[Mapping[str, str]]
    """Its requests as they stand in a sentence, with their arguments: "setting {0} to {1}"."""

    def __init__(self, answer_s: float = _ANSWER_S) -> None:
        self._answer_s = answer_s
        self._busy_with = ""
        control, far_control = Pipe()
        frames, far_frames = Pipe()
        self._control = control
        self._frames = frames
        self._asking = Lock()
        self._settings: Mapping[str, FeatureValue] = {}  # of the frames that come now
        self._process = start_child(self.PROCESS, (far_control.fileno(), far_frames.fileno()))
        far_control.close()
        far_frames.close()

    def ask(self, verb: str, *arguments: object) -> Any:
        """What the process answers to a request (see `capture_process`).

        Raises:
            CameraError: what the process raised; `CameraLost` when it does not answer any more.
        """
        with self._asking:
            self._busy_with = self.DOING.get(verb, verb).format(*arguments)
            try:
                self._control.send((verb, arguments))
                return self._answer()
            except (EOFError, OSError) as error:
                raise CameraLost(self._how_it_ended()) from error
            finally:
                self._busy_with = ""

    @property
    def busy_with(self) -> str:
        """The request under way, in words; "" while there is none."""
        return self._busy_with

    def attach(self, layout: SlotLayout) -> Slots:
        """New slots that the process fills.

        Raises:
            CameraLost: it does not answer any more.
        """
        slots, token = create_slots(layout)
        if isinstance(token, str):
            self.ask("attach", layout, token)
            return slots
        with self._asking:
            try:
                self._control.send(("attach", (layout, None)))
                reduction.send_handle(self._control, token, self._process.pid)
                self._answer()
            except (EOFError, OSError) as error:
                raise CameraLost(self._how_it_ended()) from error
            finally:
                os.close(token)
        return slots

    def receive(self, timeout_s: float) -> FrameMessage | None:
        """The next frame's message, or None when none came within `timeout_s`.

        Raises:
            CameraLost: the camera or the process is gone; the text says which.
        """
        try:
            if not self._frames.poll(timeout_s):
                return None
            message = self._frames.recv_bytes()
        except (EOFError, OSError) as error:
            raise CameraLost(self._how_it_ended()) from error
        if message[:1] == SETTINGS:
            self._settings = json.loads(message[1:])
            return self.receive(timeout_s)  # the frame that they were sent for follows at once
        if message[:1] == LOST:
            raise CameraLost(message[1:].decode())
        _, session, slot, captured_ns, captured_monotonic_ns, *stamps = struct.unpack(FRAME_MESSAGE, message)
        has_id, device_id, has_timestamp, timestamp_ns = stamps
        return FrameMessage(
            session,
            slot,
            captured_ns,
            captured_monotonic_ns,
            device_id if has_id else None,
            timestamp_ns if has_timestamp else None,
            self._settings,
        )

    def close(self) -> None:
        """End the process: it is asked, and killed if it does not comply."""
        with suppress(OSError):
            self._control.send(("close", ()))
        try:
            self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once, as one whose driver hangs needs it."""
        self._process.kill()
        self._process.wait()

    def drop_connections(self) -> None:
        """Let go of the connections, once the last frame was received."""
        with self._asking:  # whoever still asks hears that the process ended, not of a handle that is closed
            self._control.close()
        self._frames.close()

    def _answer(self) -> Any:
        while self._control.poll(self._answer_s):
            succeeded, answer = self._control.recv()
            if succeeded is None:
                continue  # it goes on
            if not succeeded:
                raise answer
            return answer
        self.kill()
        raise CameraLost(
            f"the camera's driver did not return from {self._busy_with or 'preparing to stream'} "
            f"within {self._answer_s:.0f} s; its process was ended"
        )

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        code = self._process.returncode
        if code is None:
            return "the capture process closed its connection"
        # Windows has no signals; its exceptions end a process with codes such as 0xc0000005.
        how = signal.Signals(-code).name if code < 0 else f"exit code {code if code < 256 else hex(code)}"
        return f"the capture process ended ({how}); the camera's driver may have crashed"
