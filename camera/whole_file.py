"""Writes a file whole or not at all: a kill or an error leaves the old file or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path of the same name to write to, whose file takes the place of `path` when the block ends without an error.

    Raises:
        OSError: the folder of `path` is missing or cannot be written to.
    """
    # Beside the target: only within one file system is a rename atomic.
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        written = Path(scratch) / path.name
        yield written
        os.replace(written, path)
