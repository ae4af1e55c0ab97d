"""Which frames a camera lost, told from the ids of those that came: the only complete measure of loss."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from math import inf
from time import monotonic

_LATEST = 64  # a frame that arrives this many ids after its turn is not waited for
_RESTARTED = 1024  # an id further back than this is a counter that started again, not a late or a doubled frame
_WRAP_WITHIN = 1024  # ids lost where a counter is first seen to wrap; one that skips more has started again
_TOPS = (0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)  # the largest ids that counters of 16, 32 and 64 bits have
_BUFFERED = 64  # frames that a driver may hold while nobody fetches them: the gap behind them is older than they look
_FASTER = 2.0  # how far a camera may exceed the rate that it states
_DOUBLED_WITHIN = 8  # frames after which a second 0 or 1 is a counter that started again
_REPEATS = 3  # the same id so often in a row is a driver that does not count, or no longer does

GAP = "gap in the camera's ids"
INCOMPLETE = "incomplete buffer"
UNDERRUN = "no driver buffer free"
LATE = "late frame"
DUPLICATE = "frame sent twice"


class FrameIds:
    """Follows the ids of one stream, which count up by one until they wrap (after 65535 comes 1 in GigE Vision 1.x).

    A missing id is held back for a while before it counts, since the frame may come late or be known as incomplete.
    A counter may start again: its id steps back to where no frame is missing, or forward by more than the camera can
    have exposed. Nothing is known to be lost then. `losses` only ever grows, and counts every missing frame once.

    Args:
        highest_rate_hz: frames a second that the camera can expose at most; may be changed under way.
        clock: in seconds; when frames arrive.
    """

    def __init__(self, highest_rate_hz: float = inf, clock: Callable[[], float] = monotonic) -> None:
        self.losses: Counter[str] = Counter()
        self.highest_rate_hz = highest_rate_hz
        self._clock = clock
        self._arrivals = deque([clock()], maxlen=_BUFFERED + 1)
        self._newest: int | None = None  # as the camera says it
        self._position = 0  # the same without wrapping
        self._first = 0  # position of the first frame since the counter started
        self._modulus: int | None = None
        self._widest = 0
        self._saw_zero = self._counts = False
        self._repeats = 0
        self._suspect: int | None = None  # came a second time, unless its successor shows that the counter restarted
        self._missing: deque[int] = deque()
        self._given_up: deque[range] = deque(maxlen=_RESTARTED)  # positions that count as lost already
        self._incomplete: deque[int] = deque()  # the newest position when each was reported, until an id explains it
        self._underruns: deque[int] = deque()

    def arrived(self, device_id: int) -> bool:
        """Whether the frame of this id is to be used. One that is not is in `losses`: as late, doubled or missing."""
        self._saw_zero |= device_id == 0
        self._widest = max(self._widest, device_id)
        plausible = self._plausible_step()
        self._arrivals.append(self._clock())
        if self._newest is None:
            self._newest = device_id
            return True
        step = self._step(self._newest, device_id)
        if step == 0:
            return self._repeated()
        self._repeats = 0
        if step > plausible or step <= -_RESTARTED:
            return self._restarted(device_id)
        if step < 0:
            return self._stepped_back(device_id, self._position + step)
        self._counts, self._suspect = True, None
        self._missing.extend(self._miss(self._position + 1, self._position + step))
        self._newest = device_id
        self._position += step
        self._settle(self._position - _LATEST)
        self._forget_reports(self._position - 2 * _LATEST)
        return True

    def incomplete(self) -> None:
        """A buffer came incomplete, and with it an id that is missing or will be."""
        self.losses[INCOMPLETE] += 1
        self._incomplete.append(self._position)

    def underruns(self, frames: int) -> None:
        """The driver says that it lost `frames` for want of a buffer; they explain ids that are missing."""
        self._underruns.extend([self._position] * int(min(frames, self._plausible_step())))

    def settle(self) -> None:
        """Count what is missing now: nothing more will come."""
        self._settle(self._position + 1)
        self._forget_reports(self._position + 1)
        self._newest = None
        self._first = self._position = self._position + 1

    def _plausible_step(self) -> float:
        if self.highest_rate_hz == inf:
            return inf
        return 1 + _BUFFERED + _FASTER * self.highest_rate_hz * (self._clock() - self._arrivals[0])

    def _repeated(self) -> bool:
        self._repeats += 1
        if not self._counts or self._repeats > _REPEATS:
            return True
        self.losses[DUPLICATE] += 1
        return False

    def _stepped_back(self, device_id: int, position: int) -> bool:
        if position in self._missing:
            self._missing.remove(position)
            self.losses[LATE] += 1
            return False
        if any(position in lost for lost in self._given_up):
            return False  # later than anybody waited: it counts as missing
        came_before = position >= self._first
        is_start = device_id <= 1 and self._position - position > _DOUBLED_WITHIN
        if came_before and not is_start and self._suspect != device_id - 1:
            self._suspect = device_id
            self.losses[DUPLICATE] += 1
            return False
        return self._restarted(device_id)

    def _restarted(self, device_id: int) -> bool:
        self.settle()
        self._given_up.clear()
        self._suspect = None
        self._modulus, self._widest, self._saw_zero = None, device_id, device_id == 0
        self._newest = device_id
        return True

    def _step(self, newest: int, device_id: int) -> int:
        step = device_id - newest
        if self._modulus is not None and self._widest <= self._modulus:
            half = self._modulus // 2
            return (step + half) % self._modulus - half if abs(step) > half else step
        self._modulus = None
        for top in _TOPS:
            modulus = top + 1 if self._saw_zero or top > _TOPS[0] else top
            if self._widest <= top and step < 0 < step + modulus <= _WRAP_WITHIN:
                self._modulus = modulus
                return step + modulus
        return step

    def _miss(self, first: int, end: int) -> range:
        """Those of the positions missed that may still come; the others count now."""
        waited_for = range(max(first, end - _LATEST), end)
        self._give_up(range(first, waited_for.start))
        return waited_for

    def _settle(self, before: int) -> None:
        """Count what is missing before a position."""
        while self._missing and self._missing[0] < before:
            self._give_up(range(self._missing[0], self._missing.popleft() + 1))

    def _forget_reports(self, before: int) -> None:
        """What was reported before a position, and has explained no missing id by now, explains none later."""
        while self._incomplete and self._incomplete[0] < before:
            self._incomplete.popleft()
        while self._underruns and self._underruns[0] < before:  # of a driver that gives lost frames no id
            self._underruns.popleft()
            self.losses[UNDERRUN] += 1

    def _give_up(self, positions: range) -> None:
        missing = len(positions)
        if not missing:
            return
        self._given_up.append(positions)
        missing -= _take(self._incomplete, missing)  # counted when they came
        underruns = _take(self._underruns, missing)
        self.losses += Counter({UNDERRUN: underruns, GAP: missing - underruns})


def _take(reported: deque[int], most: int) -> int:
    """Take up to `most` of what was reported; returns how many."""
    taken = min(most, len(reported))
    for _ in range(taken):
        reported.popleft()
    return taken
