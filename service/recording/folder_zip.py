"""A folder as a ZIP file, made while it is sent: nothing of it is held, or written beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from qpi_live.camera.files.bounded_file import size_of

_PART_BYTES = 1 << 20


def zip_of(folder: Path) -> Iterator[bytes]:
    """The bytes of a ZIP file with the files in `folder` by their paths in it, not compressed.

    A file that grows meanwhile is sent as long as it was.

    Raises:
        OSError: a file cannot be read.
        ImageFileError: likewise.
    """
    sent = _Sent()
    with ZipFile(sent, "w") as archive:
        # What describes an image comes first, as readers of zipped OME-Zarr expect it.
        paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=_describing_first)
        for path in paths:
            yield from _file(archive, sent, path, path.relative_to(folder).as_posix())
    yield sent.take()


def _describing_first(path: Path) -> tuple[bool, int, Path]:
    return path.name != "zarr.json", len(path.parts), path


def _file(archive: ZipFile, sent: _Sent, path: Path, name: str) -> Iterator[bytes]:
    left = size_of(path)
    described = ZipInfo(name)
    described.file_size = left
    with path.open("rb") as file, archive.open(described, "w", force_zip64=True) as into:
        while left and (part := file.read(min(left, _PART_BYTES))):
            left -= len(part)
            into.write(part)
            yield sent.take()


class _Sent(io.RawIOBase):
    """What was written, until it is taken; nothing can be changed any more."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """False: it is on its way."""
        return False

    def tell(self) -> int:
        """Bytes so far."""
        return self._at

    def write(self, data: bytes) -> int:  # type: ignore[override]  # ZipFile writes bytes and the like
        """Take it."""
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def take(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
