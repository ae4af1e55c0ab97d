"""Writes a file whole or not at all: a kill or an error leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_UNFINISHED = ".part"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path of the same name to write to, whose file takes the place of `path` when the block ends without an error.

    Raises:
        OSError: the folder of `path` is missing or cannot be written to.
    """
    # Beside the target: only within one file system is a rename atomic.
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED) as scratch:
        written = Path(scratch) / path.name
        yield written
        os.replace(written, path)


def drop_unfinished(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder and in those below it; nobody may be writing there."""
    for scratch in [*folder.rglob(f".*{_UNFINISHED}")]:
        shutil.rmtree(scratch, ignore_errors=True)
