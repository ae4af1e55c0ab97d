"""How a recording ends, and the sentence that says so."""

from __future__ import annotations

import errno
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ending:
    """How a recording ended: `done`, `stopped` or `failed`, and the same for people."""

    state: str
    sentence: str


COMPLETE = Ending("done", "All that was asked for is recorded.")
TRIGGERED = Ending("done", "The seconds before the trigger are recorded.")
NO_MORE_FRAMES = Ending("done", "The recording that the frames came from is over.")
BY_HAND = Ending("stopped", "Stopped by hand.")
SERVICE_STOPPED = Ending("stopped", "The service was stopped.")
UNKNOWN = Ending("failed", "The recording ended unexpectedly.")


class DiskKeptFree(OSError):
    """What is to be kept free of the disk is all that is left of it."""

    def __init__(self, kept_bytes: int) -> None:
        super().__init__(errno.ENOSPC, f"Stopped before the disk is full: {kept_bytes / 1e9:.3g} GB are kept free.")


def ended_by(error: OSError) -> Ending:
    """The ending that an error of the disk is."""
    if isinstance(error, DiskKeptFree):
        return Ending("stopped", str(error.strerror))
    if error.errno == errno.ENOSPC:
        said = "The disk is full."
    elif isinstance(error, FileNotFoundError):
        said = "The folder is gone; is its disk still plugged in?"
    else:
        said = f"The disk does not take the frames ({error.strerror or error})."
    return Ending("failed", f"{said} What was recorded before stands.")
