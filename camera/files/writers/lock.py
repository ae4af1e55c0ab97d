"""Says that a recording is being written, by a lock on a file in its folder, which ends with whoever holds it."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = ".lock"
_PATIENCE_S = 1.0  # with others who only look
_LOOK_AGAIN_S = 0.005


class RecordingIsWritten(Exception):
    """Another writer has the recording."""


class RecordingLock:
    """Held by whoever writes into a recording's folder, in any process.

    Args:
        folder: the recording's.

    Raises:
        RecordingIsWritten: somebody else does.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file: BinaryIO = self._path.open("ab")
        until = monotonic() + _PATIENCE_S
        while not _take(self._file):
            if monotonic() > until:
                self._file.close()
                raise RecordingIsWritten(
                    f"expected a recording that is over, got {folder.name!r}, which is being recorded; stop it first"
                )
            sleep(_LOOK_AGAIN_S)

    def release(self) -> None:
        """Let go of it. Doing it twice is harmless."""
        if self._file.closed:
            return
        _give_back(self._file)
        self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def is_written(folder: Path) -> bool:
    """Whether somebody writes into a recording's folder now, in this process or another."""
    try:
        with (folder / NAME).open("rb") as file:
            if not _take(file):
                return True
            _give_back(file)
    except OSError:
        pass
    return False


def _take(file: BinaryIO) -> bool:
    """Whether the lock is had now; so it is on a file system that has no locks."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _give_back(file: BinaryIO) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_UN)
