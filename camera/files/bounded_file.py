"""Files that other programs may write, shorten, replace or delete at any moment.

They are read by position and never mapped into memory: a map of a file that becomes shorter ends the program.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from qpi_live.camera.files.image_bounds import ImageFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Change(Enum):
    """What became of files since they were looked at."""

    NONE = "as it was"
    GROWN = "grown"
    REPLACED = "saved anew"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class _Signature:
    """What tells one state of a file or folder from another without reading it."""

    device: int
    inode: int
    size: int
    modified_ns: int


class Watch:
    """Notices when any of some files or folders is changed, replaced or deleted; a look costs one `stat` each.

    Args:
        paths: to look at; their present state is what later looks are compared with.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = {path: _signature(path) for path in paths}

    def look(self) -> Change:
        """The gravest change among the files since this watch was made."""
        found = Change.NONE
        for path, then in self._seen.items():
            now = _signature(path)
            if now == then:
                continue
            if now is None:
                return Change.GONE
            if (
                then is None
                or (now.device, now.inode) != (then.device, then.inode)
                or (now.size < then.size and path.is_file())
            ):
                found = Change.REPLACED
            elif found is Change.NONE:
                found = Change.GROWN
        return found


def _signature(path: Path) -> _Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Signature(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def size_of(path: Path) -> int:
    """The file's size in bytes now.

    Raises:
        ImageFileError: it is not there, or may not be looked at.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise ImageFileError(f"expected a readable file at {path}, got: {error.strerror or error}") from error


def read_exactly(path: Path, offset: int, size: int) -> bytes:
    """`size` bytes of the file at `offset`, all of them or none.

    Raises:
        ImageFileError: it cannot be read, or ends before.
    """
    try:
        with path.open("rb", buffering=0) as file:
            held = os.fstat(file.fileno()).st_size
            if not 0 <= offset <= offset + size <= held:  # before memory is taken for what a header promises
                raise ImageFileError(f"expected {size} bytes at {offset}, got a file of {held} bytes; is it truncated?")
            file.seek(offset)
            parts = []
            while size and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
    except OSError as error:
        raise ImageFileError(f"expected a readable file at {path}, got: {error.strerror or error}") from error
    if size:
        raise ImageFileError(f"expected {size} bytes more, got the end of the file; is it being written?")
    return b"".join(parts)


class BoundedFile(io.RawIOBase):
    """A file for libraries that would otherwise make zeros of bytes that are not there: such a read fails.

    Args:
        path: to read.
        claimed_size: what the file says of its own size, where that is larger; for libraries that refuse a file
            altogether when its end is missing.
    """

    def __init__(self, path: Path, claimed_size: int = 0) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._end = max(claimed_size, self.held)
        self._position = 0

    @property
    def held(self) -> int:
        """Bytes that are there now."""
        return os.fstat(self._file.fileno()).st_size

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase.seek`; the end is the claimed one."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """See `io.RawIOBase.tell`."""
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` wholly.

        Raises:
            OSError: the file ends before.
        """
        view = memoryview(buffer).cast("B")
        self._file.seek(self._position)
        done = 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        if done < len(view):
            raise OSError(f"the file ends {len(view) - done} bytes before what it says it holds")
        self._position += done
        return done

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            self._file.close()
        super().close()
