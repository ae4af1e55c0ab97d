"""The phases that go with recorded interferograms: they come later, and not for all of them."""

from __future__ import annotations

from collections import deque
from time import monotonic

from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.frame import Frame
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.tap import FULL, Tap, Taps
from qpi_live.service.recording.losses import NOT_WANTED, SKIPPED
from qpi_live.service.recording.recorded_files import RecordedFiles

PHASE_BYTES = 4  # of a pixel
_POLL_S = 0.05


class RecordedPhases:
    """Writes the phase of every frame that is recorded, and counts those that never come.

    The thread that writes the interferograms uses it.

    Args:
        taps: of the engine's phases.
        most_bytes: that may wait.
        files: the recording's.

    Attributes:
        awaited: recorded frames whose phase is not written yet, the oldest first, as they come.
    """

    def __init__(self, taps: Taps[LiveFrame], most_bytes: int, files: RecordedFiles) -> None:
        self._taps, self._files = taps, files
        self._tap: Tap[LiveFrame] = taps.open(most_bytes, notes_absent=True)
        self.awaited: deque[int] = deque()
        self._absent: dict[int, str] = {}
        self._decided = -1  # up to this sequence it is known which frames are recorded
        self._all_decided = False  # no further frame is recorded
        self._early: LiveFrame | None = None

    @property
    def account(self) -> AccountSnapshot:
        """What became of the phases."""
        return self._tap.account.snapshot()

    @property
    def has_early(self) -> bool:
        """Whether a phase waits for its frame to be looked at."""
        return self._early is not None

    def bytes_to_come(self, frame: Frame) -> int:
        """Of the phases of recorded frames of this one's size, which the engine has not made yet."""
        return len(self.awaited) * frame.pixels.size * PHASE_BYTES

    def decide(self, frame: Frame, *, is_recorded: bool) -> None:
        """Note whether a frame is recorded, and its phase belongs in the recording."""
        self._decided = frame.sequence
        if is_recorded:
            self.awaited.append(frame.sequence)

    def write(self) -> None:
        """Write the phases that are there, of frames of which it is known that they are recorded."""
        self._absent |= self._tap.take_absent()
        passed = max((at for at in self._absent if at <= self._decided), default=-1)  # by the engine
        while True:
            live = self._early or self._tap.take(0.0)
            self._early = None
            if live is None:
                self._give_up(passed + 1)
                return
            sequence = live.frame.sequence
            if sequence > self._decided and not self._all_decided:
                self._early = live
                return
            self._absent |= self._tap.take_absent()
            self._give_up(sequence)
            if not self.awaited or self.awaited[0] != sequence:
                self._tap.account.dropped(NOT_WANTED)
                continue
            self.awaited.popleft()
            reason = self._files.append(live)
            if reason is None:
                self._tap.account.delivered()
            else:
                self._tap.account.failed(reason)

    def finish(self, patience_s: float) -> None:
        """Write the phases of the last frames, which may take the engine so long; what is missing then is counted."""
        self._all_decided = True
        self.write()
        until = monotonic() + patience_s
        while self.awaited and monotonic() < until and self._files.broken is None and not self._tap.is_closed:
            live = self._tap.take(_POLL_S)
            if live is not None:
                self._early = live
            self.write()
        self._taps.close(self._tap)
        self._tap.drop_waiting(NOT_WANTED)
        self._absent |= self._tap.take_absent()
        self._give_up(self._decided + 1)

    def _give_up(self, before: int) -> None:
        """Count the recorded frames before this one, whose phases the engine did not make or nobody had room for."""
        while self.awaited and self.awaited[0] < before:
            reason = self._absent.get(self.awaited.popleft())
            if reason == FULL:
                continue  # the tap has counted it
            self._tap.account.captured()
            if reason is None:
                self._tap.account.dropped(SKIPPED)
            else:
                self._tap.account.failed(reason)
        self._absent = {at: reason for at, reason in self._absent.items() if at >= before}
