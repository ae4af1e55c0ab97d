"""Why a recording cannot be made, or a request about one not be done; the texts are for people."""

from __future__ import annotations


class RecordingError(Exception):
    """What was asked of a recording cannot be done; nothing has changed."""


class RecordingRefused(RecordingError):
    """It makes no sense as it was asked."""


class RecordingMissing(RecordingError):
    """There is none of that name."""


class RecordingTaken(RecordingError):
    """The name is taken, or the recording is in a state that does not allow it."""


class RecordingHasNoRoom(RecordingError):
    """The disk is full, or cannot be written to."""
