"""Which frames a camera lost, told from the ids of those that came: the only complete measure of loss."""

from __future__ import annotations

from collections import Counter, deque

_LATEST = 64  # a frame that arrives this many ids after its turn is not waited for
_HALF_OF_16_BITS = 1 << 15
_RESTARTED = 1024  # an id further back than this is a counter that started again, not a late frame
_WRAP_WITHIN = 1024  # ids lost where a counter is first seen to wrap; one that skips more has started again

GAP = "gap in the camera's ids"
INCOMPLETE = "incomplete buffer"
UNDERRUN = "no driver buffer free"
LATE = "late frame"


class FrameIds:
    """Follows the ids of one stream, which count up by one, or from 1 to 65535 and again (GigE Vision 1.x).

    A missing id is held back for a while before it counts, since the frame may come late or be known as incomplete.
    `losses` only ever grows, and counts every missing frame once.
    """

    def __init__(self) -> None:
        self.losses: Counter[str] = Counter()
        self._newest: int | None = None  # as the camera says it
        self._position = 0  # the same without wrapping
        self._modulus: int | None = None
        self._saw_zero = self._saw_wide = False
        self._missing: deque[int] = deque()
        self._incomplete = 0
        self._underruns = 0

    def arrived(self, device_id: int) -> bool:
        """Whether the frame of this id is to be used; False for one that comes after its successor."""
        self._saw_zero |= device_id == 0
        self._saw_wide |= device_id > 0xFFFF
        if self._newest is None:
            self._newest = device_id
            return True
        step = self._step(self._newest, device_id)
        if step <= -_RESTARTED or step == 0:  # some drivers do not count, and give every frame the same id
            self._newest = device_id
            return True
        if step <= 0:
            self._arrived_late(self._position + step)
            return False
        self._miss(self._position + 1, self._position + step)
        self._newest = device_id
        self._position += step
        self._settle(self._position - _LATEST)
        return True

    def incomplete(self) -> None:
        """A buffer came incomplete, and with it the next id that will be missing."""
        self.losses[INCOMPLETE] += 1
        self._incomplete += 1

    def underruns(self, frames: int) -> None:
        """The driver says that it lost `frames` for want of a buffer; they explain ids that are missing."""
        self._underruns += frames

    def settle(self) -> None:
        """Count what is missing now: nothing more will come."""
        self._settle(self._position + 1)
        if self._underruns:  # those after the last frame that came, or of a driver that gives lost frames no id
            self.losses[UNDERRUN] += self._underruns
        self._newest = None
        self._incomplete = self._underruns = 0

    def _step(self, newest: int, device_id: int) -> int:
        step = device_id - newest
        if self._saw_wide:  # a counter of more than 16 bits, which lives longer than any stream
            return step
        if step < -_HALF_OF_16_BITS:
            modulus = self._modulus or (1 << 16 if self._saw_zero else (1 << 16) - 1)
            if self._modulus or step + modulus <= _WRAP_WITHIN:
                self._modulus = modulus
                return step + modulus
        if self._modulus and step > _HALF_OF_16_BITS:
            return step - self._modulus
        return step

    def _miss(self, first: int, end: int) -> None:
        known = min(self._incomplete, end - first)  # counted as incomplete already
        self._incomplete -= known
        missing = end - first - known
        self._count(max(0, missing - _LATEST))
        self._missing.extend(range(end - min(missing, _LATEST), end))

    def _arrived_late(self, position: int) -> None:
        if position in self._missing:
            self._missing.remove(position)
            self.losses[LATE] += 1

    def _settle(self, before: int) -> None:
        settled = 0
        while self._missing and self._missing[0] < before:
            self._missing.popleft()
            settled += 1
        self._count(settled)

    def _count(self, missing: int) -> None:
        explained = min(missing, self._underruns)
        self._underruns -= explained
        if explained:
            self.losses[UNDERRUN] += explained
        if missing > explained:
            self.losses[GAP] += missing - explained
