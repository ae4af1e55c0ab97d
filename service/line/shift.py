"""One engine thread's work, which somebody else may give up where it does not come to an end."""

from __future__ import annotations

from threading import Lock
from time import monotonic


class Shift:
    """What an engine thread has at hand; once it is relieved, the outcome is nobody's. Safe to use from any thread.

    A thread that hangs in a driver or in native code cannot be ended. It can be left behind: whoever relieves it counts
    its frame, and another thread goes on. Exactly one of the two counts it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._since: float | None = None
        self._is_relieved = False

    @property
    def busy_s(self) -> float:
        """For how long the thread has worked on what it has at hand, in s; 0 while that is nothing."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    def begin(self) -> None:
        """Something is at hand from now on."""
        self._since = monotonic()

    def end(self) -> bool:
        """It is done. Whether its outcome counts; if not, the thread was relieved and has nothing more to do."""
        with self._lock:
            self._since = None
            return not self._is_relieved

    def relieve(self, after_s: float) -> bool:
        """Give up what has been at hand for `after_s` or longer. Whether there was such a thing."""
        with self._lock:
            if self._is_relieved or self._since is None or self.busy_s < after_s:
                return False
            self._is_relieved = True
            return True
