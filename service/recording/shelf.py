"""Recordings that are on the disk, in one folder: what they are, and what was deleted until it is gone for good."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from time import time, time_ns

from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.writers.frame_list import FrameEntry, parse_entry
from qpi_live.camera.files.writers.layer_names import list_name
from qpi_live.camera.files.writers.lock import is_written
from qpi_live.camera.files.writers.manifest import Manifest, is_recording
from qpi_live.service.recording.errors import RecordingHasNoRoom, RecordingMissing, RecordingTaken
from qpi_live.service.recording.status import Summary
from qpi_live.service.recording.wanted import check_name

UNDO_S = 3600.0
"""How long a deleted recording can be had back."""

CUT_OFF = "cut off"
_DELETED = ".deleted"
_AT = "@"  # between a deleted recording's name, which has none, and when it was deleted
_MOST_LISTED = 2000
_LAST_LINE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Shelved(Summary):
    """A recording on the disk: `done`, `stopped`, `failed`, `repaired`, `cut off`, or `recording`, by somebody else.

    Attributes:
        started_ns: when it was begun, ns of Unix time.
        length_s: from its first frame to its last.
        files: names of what can be downloaded.
        engine: the one that was in use.
        camera: the one that it was taken with.
    """

    started_ns: int
    length_s: float
    files: tuple[str, ...]
    engine: str
    camera: str


class Shelf:
    """The recordings in `folder`, which need not be there yet. Safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()
        self._known: dict[str, tuple[tuple[int, ...], Shelved]] = {}

    def make(self, name: str) -> Path:
        """An empty folder for a recording.

        Raises:
            RecordingTaken: there is a recording of that name.
            RecordingHasNoRoom: it cannot be made.
        """
        folder = self.folder / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError as error:
            raise RecordingTaken(f"expected a new name, got {name!r}, of which there is a recording") from error
        except OSError as error:
            raise RecordingHasNoRoom(
                f"expected a folder that can be written to, got {self.folder}: {error.strerror or error}"
            ) from error
        return folder

    def path(self, name: str) -> Path:
        """The folder of a recording.

        Raises:
            RecordingMissing: there is none of that name.
        """
        with suppress(ValueError):
            folder = self.folder / check_name(name)
            if is_recording(folder):
                return folder
        raise RecordingMissing(f"expected the name of a recording, got {name!r}")

    def file(self, name: str, file: str) -> Path:
        """One of a recording's files, or the folder of an OME-Zarr that is downloaded as a ZIP file.

        Raises:
            RecordingMissing: there is none of that name.
        """
        folder = self.path(name)
        found = {path.name: path for path in _files(folder)} | {_zipped(image): image for image in _images(folder)}
        if file not in found:
            raise RecordingMissing(f"expected a file of {name!r}, one of {', '.join(found)}, got {file[:100]!r}")
        return found[file]

    def all(self) -> list[Shelved]:
        """What is there, the newest first."""
        self._forget_deleted()
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.is_dir() and entry.name[0] != "."]
        except OSError:
            return []
        found = [self._look_at(name) for name in names[:_MOST_LISTED]]
        return sorted((one for one in found if one), key=lambda one: one.started_ns, reverse=True)

    def one(self, name: str) -> Shelved:
        """A recording.

        Raises:
            RecordingMissing: there is none of that name.
        """
        found = self._look_at(self.path(name).name)
        if found is None:
            raise RecordingMissing(f"expected the name of a recording, got {name!r}")
        return found

    def delete(self, name: str) -> None:
        """Take a recording away; `restore` brings it back for an hour.

        Raises:
            RecordingMissing: there is none of that name.
            RecordingTaken: it is made now, by whomever.
            RecordingHasNoRoom: the folder cannot be written to.
        """
        folder = self.path(name)
        if is_written(folder):
            raise RecordingTaken(made_now(name))
        try:
            away = self.folder / _DELETED
            away.mkdir(exist_ok=True)
            os.utime(folder)  # before it is there to be forgotten: its hour begins now
            os.replace(folder, away / f"{folder.name}{_AT}{time_ns()}")
        except OSError as error:
            raise RecordingHasNoRoom(f"{name} cannot be deleted: {error.strerror or error}") from error

    def restore(self, name: str) -> None:
        """Bring back what was deleted; of several of one name, the latest.

        Raises:
            RecordingMissing: nothing of that name was deleted within the last hour.
            RecordingTaken: there is a new one of that name.
            RecordingHasNoRoom: the folder cannot be written to.
        """
        with suppress(ValueError):
            plain = check_name(name)
            for deleted in self._deleted(plain):
                if (self.folder / plain).exists():
                    raise RecordingTaken(f"expected no recording called {name!r}, and there is a new one; rename it")
                try:
                    os.replace(deleted, self.folder / plain)
                except OSError as error:
                    why = error.strerror or error
                    raise RecordingHasNoRoom(f"{name} cannot be brought back: {why}") from error
                return
        raise RecordingMissing(f"expected a recording that was deleted within the last hour, got {name!r}")

    def _deleted(self, name: str) -> list[Path]:
        """What was deleted under this name, the latest first."""
        found = [path for path in (self.folder / _DELETED).glob("*") if path.name.rpartition(_AT)[0] == name]
        return sorted((path for path in found if is_recording(path)), key=lambda path: path.name, reverse=True)

    def _forget_deleted(self) -> None:
        with suppress(OSError):
            for entry in os.scandir(self.folder / _DELETED):
                if time() - entry.stat().st_mtime > UNDO_S:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def _look_at(self, name: str) -> Shelved | None:
        found = self._found(name)
        if found is not None and found.state == CUT_OFF and is_written(self.folder / name):
            return replace(found, state="recording", sentence="It is made now, by another camera or service.")
        return found

    def _found(self, name: str) -> Shelved | None:
        folder = self.folder / name
        try:
            files = _files(folder)
            seen = tuple(number for path in files for number in (path.stat().st_mtime_ns, path.stat().st_size))
            known = self._known.get(name)
            if known is not None and known[0] == seen:
                return known[1]
            found = _shelved(folder, files)
        except (OSError, ImageFileError):
            return None
        with self._lock:
            self._known[name] = (seen, found)
        return found


def made_now(name: str) -> str:
    """Why a recording cannot be deleted yet, for people."""
    return (
        f"expected a recording that is over, got {name!r}, which is made now; stop it first "
        "(POST /recordings/NAME/stop)"
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """The folders of layers in OME-Zarr."""
    return sorted(path for path in folder.glob("*.ome.zarr") if path.is_dir())


def _within(images: Iterable[Path]) -> Iterator[Path]:
    """The files in those."""
    return (path for image in images for path in image.rglob("*") if path.is_file())


def _zipped(image: Path) -> str:
    """The name that a folder is downloaded under."""
    return f"{image.name}.zip"


def _shelved(folder: Path, files: list[Path]) -> Shelved:
    manifest = Manifest.read(folder)
    layer = manifest.layers[0]
    first, last = _ends(folder / list_name(layer))
    is_cut = manifest.ended_ns is None
    images = _images(folder)
    return Shelved(
        name=folder.name,
        state=CUT_OFF if is_cut else manifest.state,
        sentence=f"{manifest.sentence} `qpi files --repair` closes it.".strip() if is_cut else manifest.sentence,
        layers=tuple(manifest.layers),
        frames=last.frame + 1 if last else 0,
        bytes=sum(path.stat().st_size for path in (*files, *_within(images))),
        started_ns=manifest.started_ns,
        length_s=max(0.0, (last.captured_ns - first.captured_ns) / 1e9) if first and last else 0.0,  # clocks are set
        files=(*(path.name for path in files), *(_zipped(image) for image in images)),
        engine=str(manifest.engine.get("name", "")),
        camera=str(manifest.camera.get("source", "")),
    )


def _ends(path: Path) -> tuple[FrameEntry | None, FrameEntry | None]:
    """The first and the last whole entry of a list, without reading all of it."""
    try:
        with path.open("rb") as file:
            first = parse_entry(file.readline())
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _LAST_LINE_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None, None
    whole = (entry for line in reversed(lines) if (entry := parse_entry(line)))
    return first, next(whole, first)
