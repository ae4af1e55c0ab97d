"""Frames that the engine failed on: what went wrong last, and whether no frame can be used at present."""

from __future__ import annotations

from time import monotonic

from qpi_live.models.phase_frame import UNUSABLE_FRINGES

_MANY = 10  # that fail one after the other before the pipeline is not called ready any more
_UNUSABLE_S = 0.5  # likewise, where the fringes of all say that there is no phase: at 5 frames/s, ten take 2 s


class FailedFrames:
    """What the engine thread notes of frame after frame, for whoever asks how the pipeline is.

    Attributes:
        last: what went wrong last, in a sentence; None so far.
    """

    def __init__(self) -> None:
        self.last: str | None = None
        self._in_a_row = 0
        self._unusable_since: float | None = None  # frames whose fringes say that there is no phase

    def note(self, sentence: str, reason: str) -> None:
        """A frame failed."""
        self.last = sentence
        self._in_a_row += 1
        if reason not in UNUSABLE_FRINGES:
            self._unusable_since = None
        elif self._unusable_since is None:
            self._unusable_since = monotonic()

    def are_over(self) -> None:
        """A frame came out well."""
        self._in_a_row = 0
        self._unusable_since = None

    @property
    def are_all(self) -> bool:
        """Whether so many frames failed, or all for some time because of their fringes, that a user should know."""
        if self._in_a_row >= _MANY:
            return True
        return self._unusable_since is not None and monotonic() - self._unusable_since > _UNUSABLE_S
