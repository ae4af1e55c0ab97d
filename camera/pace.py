"""The due times of frames of a camera without hardware."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

from qpi_live.camera.errors import CameraTimeout

_BUFFERED_S = 0.05  # at hundreds of frames a second a reader is late by several whenever the system does something else


class Pace:
    """Keeps a frame rate. A reader that is late by a little catches up, as a driver's buffers let it.

    One that falls behind by more than a frame and 50 ms is not sent a burst.

    Args:
        frame_rate_hz: frames per second; 0 means that every frame is due at once.
        clock_s: a monotonic clock, in seconds.
        sleep_s: waits for so many seconds.
    """

    def __init__(
        self,
        frame_rate_hz: float,
        clock_s: Callable[[], float] = monotonic,
        sleep_s: Callable[[float], None] = sleep,
    ) -> None:
        self._period_s = 1 / frame_rate_hz if frame_rate_hz else 0.0
        self._clock_s = clock_s
        self._sleep_s = sleep_s
        self._due_s = clock_s()

    def wait(self, timeout_s: float) -> None:
        """Return when the next frame is due.

        Raises:
            CameraTimeout: that is later than `timeout_s` from now; the time has passed meanwhile.
        """
        if not self._period_s:
            return
        now_s = self._clock_s()
        ahead_s = self._due_s - now_s
        if ahead_s > timeout_s:
            self._sleep_s(timeout_s)
            raise CameraTimeout(f"The next frame is due in {ahead_s - timeout_s:.2f} s.")
        if ahead_s > 0:
            self._sleep_s(ahead_s)
        is_behind = ahead_s < -max(self._period_s, _BUFFERED_S)
        self._due_s = (now_s if is_behind else self._due_s) + self._period_s
