"""What is known of each recorded frame, a line of JSON a frame, beside the images and in the page of each.

    {"frame": 12, "part": 0, "offset": 12583680, "crc32": 3178249241, "sequence": 4711, "epoch": 2, "captured_ns": …}

`offset` is where the image lies in that part of the recording, `crc32` that of its bytes (as zlib has it). A line is
written after its page, so a line without a page is none. A last line without an end was cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from imagecodecs import deflate_crc32
from numpy.typing import NDArray
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.files.bounded_file import read_exactly
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.frame import Frame

EXPOSURE, GAIN = "ExposureTime", "Gain"
"""GenICam's names (SFNC 2.7); exposure in µs."""


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One recorded frame.

    Attributes:
        frame: its number in the recording, from 0.
        part: which of the layer's files it lies in, from 0.
        offset: of the image in that file, in bytes.
        crc32: of the image's bytes.
        sequence: see `Frame.sequence`, and so on.
        exposure_us: that was in force; None where the camera does not tell.
        gain: likewise, in the camera's own unit.
        settings: all that the camera told, on the first frame and where anything has changed; else None.
        made_by: of a phase, what made it, its carrier and how far to trust it.
    """

    frame: int
    part: int
    offset: int
    crc32: int
    sequence: int
    epoch: int
    captured_ns: int
    captured_monotonic_ns: int
    device_id: int | None = None
    device_timestamp_ns: int | None = None
    source: str = ""
    exposure_us: float | None = None
    gain: float | None = None
    settings: dict[str, FeatureValue] | None = None
    made_by: dict[str, Any] | None = field(default=None, hash=False)

    def line(self) -> bytes:
        """The entry as a line of JSON in ASCII, with its end; what is None is left out."""
        known = {name: getattr(self, name) for name in _NAMES if getattr(self, name) is not None}
        return json.dumps(known, separators=(",", ":")).encode() + b"\n"


_NAMES = tuple(FrameEntry.__dataclass_fields__)


def entry_of(
    frame: Frame,
    image: NDArray[np.generic],
    number: int,
    place: tuple[int, int],
    settings_before: Mapping[str, FeatureValue] | None,
    made_by: dict[str, Any] | None = None,
) -> FrameEntry:
    """The entry of an image that was made of `frame`.

    Args:
        frame: as the camera gave it.
        image: what is recorded of it.
        number: in the recording.
        place: part and offset.
        settings_before: the frame's before.
        made_by: see `FrameEntry`.
    """
    settings = frame.settings or {}
    has_changed = settings is not settings_before and settings != settings_before
    return FrameEntry(
        number,
        *place,
        crc32=crc32_of(image.data.cast("B")),
        sequence=frame.sequence,
        epoch=frame.epoch,
        captured_ns=frame.captured_ns,
        captured_monotonic_ns=frame.captured_monotonic_ns,
        device_id=frame.device_id,
        device_timestamp_ns=frame.device_timestamp_ns,
        source=frame.source,
        exposure_us=_number(settings.get(EXPOSURE)),
        gain=_number(settings.get(GAIN)),
        settings=dict(settings) if settings and has_changed else None,
        made_by=made_by,
    )


def crc32_of(values: memoryview | bytes) -> int:
    """CRC-32 as zlib has it, in less time."""
    return int(deflate_crc32(values))  # type: ignore[arg-type]  # any buffer does, whatever its stub says


def is_image_sound(path: Path, image_bytes: int, entry: FrameEntry) -> bool:
    """Whether a frame's image of so many bytes lies in its part of the recording, `path`, as it was recorded."""
    try:
        return crc32_of(read_exactly(path, entry.offset, image_bytes)) == entry.crc32
    except ImageFileError:
        return False


def _number(value: FeatureValue | None) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_entries(path: Path) -> Iterator[FrameEntry]:
    """The entries of a list, those that are whole; none where there is no list."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            entry = parse_entry(line)
            if entry is None:
                return
            yield entry


def parse_entry(line: bytes) -> FrameEntry | None:
    """The entry in a line; None where it is none, or was cut off."""
    try:
        known = json.loads(line)
        return FrameEntry(**{name: known[name] for name in _NAMES if name in known})
    except (ValueError, TypeError, KeyError):
        return None


class FrameList:
    """Appends entries to a list that does not exist yet.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)

    def append(self, line: bytes) -> None:
        """Add an entry's line; raises OSError where the disk does not take it, and leaves the list as it was."""
        end = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, os.strerror(28))
        except OSError:
            self._file.truncate(end)
            self._file.seek(end)
            raise

    def fileno(self) -> int:
        """The file's descriptor, for whoever brings it to the disk."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of it, with all of it on the disk."""
        try:
            os.fsync(self.fileno())
        finally:
            self._file.close()
