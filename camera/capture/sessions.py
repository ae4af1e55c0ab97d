"""The shared memory that frames come in, one layout after the other, and the frames lost on the way into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Protocol, TypeVar

import numpy as np
from qpi_live.camera.capture.link import FrameMessage, ProcessLink
from qpi_live.camera.capture.slots import SlotLayout, Slots
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.frame import Pixels

_UNREAD = "stream stopped"


class GreyFormat(Protocol):
    """How a driver's grey values lie in slots; equal where frames are alike."""

    @property
    def bit_depth(self) -> int:
        """Significant bits of a grey value."""

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Of a slot's pixels."""


FormatT = TypeVar("FormatT", bound=GreyFormat)


@dataclass(frozen=True, slots=True)
class Session(Generic[FormatT]):
    """Frames of one layout, all from one capture process."""

    number: int
    slots: Slots
    pixel_format: FormatT

    def pixels(self, slot: int) -> Pixels:
        """The slot itself; a copy while slots are scarce, so that nobody's keeping of frames stops the stream."""
        slots = self.slots
        return slots.copy_out(slot) if slots.free < slots.layout.count // 4 else slots.lend(slot)


class Sessions(Generic[FormatT]):
    """A camera's sessions. One thread begins and ends them; others may read frames and count losses meanwhile.

    Args:
        reasons: why the process loses frames, in the order of `Slots.losses`.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        self._reasons = reasons
        self.present: Session[FormatT] | None = None
        self._previous: Session[FormatT] | None = None  # its last frames may still be on their way
        self._begun = 0
        self._counting = Lock()  # of its own: the thread that reads frames must not wait for a request
        self._counted = [0] * len(self._reasons)
        self._lost: Counter[str] = Counter()

    def begin(self, link: ProcessLink, layout: SlotLayout, pixel_format: FormatT) -> int:
        """The number of the session for such frames: the present one's, or a new one's where they differ."""
        present = self.present
        if present is None or present.slots.layout != layout or present.pixel_format != pixel_format:
            slots = link.attach(layout)
            with self._counting:
                self._collect_losses()
                self._counted = [0] * len(self._reasons)
                self._begun += 1
                self._previous, self.present = present, Session(self._begun, slots, pixel_format)
        return self._begun

    def of(self, message: FrameMessage) -> Session[FormatT] | None:
        """The session of a frame; None where that is over, and the frame counted as lost."""
        for session in (self.present, self._previous):
            if session is not None and session.number == message.session:
                return session
        with self._counting:
            self._lost[_UNREAD] += 1
        return None

    def take_losses(self) -> Mapping[str, int]:
        """Frames lost since the last call, by reason."""
        with self._counting:
            self._collect_losses()
            losses, self._lost = self._lost, Counter()
        return losses

    def end(self, link: ProcessLink) -> None:
        """Let go of the memory, and count the frames that the process still announced before it ended."""
        with self._counting:
            try:
                while link.receive(0) is not None:
                    self._lost[_UNREAD] += 1
            except CameraLost:
                pass
            self._collect_losses()
            self.present = self._previous = None

    def _collect_losses(self) -> None:
        if self.present is None:
            return
        now = self.present.slots.losses[: len(self._reasons)]
        for reason, before, after in zip(self._reasons, self._counted, now, strict=True):
            if after > before:
                self._lost[reason] += after - before
        self._counted = now
