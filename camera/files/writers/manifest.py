"""What a recording is, in `recording.json` beside its files: who took it, through what, how it ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.optics import Optics
from qpi_live.camera.whole_file import whole_file

NAME = "recording.json"
CALIBRATION = "calibration.tif"
RESERVE = ".reserve"
"""A file that is there while a recording is made, so that its last words fit onto a disk that is full."""
RESERVE_BYTES = 1 << 18
_FORMAT = "qpi-live recording"
_VERSION = 1
_LAYERS = frozenset({"interferogram", "phase"})
_DEEPEST = 16


@dataclass(slots=True)
class Manifest:
    """One recording.

    Attributes:
        name: its folder's.
        started_ns: when it was begun, ns of Unix time.
        layers: what it has: `interferogram`, `phase`.
        camera: source, vendor, model, serial and settings when it was begun.
        bit_depth: significant bits of a grey value.
        optics: as `Optics` has them; empty where nothing is known.
        engine: name, kind, device, version and particulars, such as the carrier, when it was begun.
        calibration_ns: when the calibration frame that was in force had been taken; None: none was.
        wanted: what was asked for: frames, seconds, and so on.
        ended_ns: when it was closed; None while it is not.
        state: `recording`, `done`, `stopped` (by a person), `failed`, or `repaired`.
        sentence: how it ended, for people.
        account: of each layer: frames captured, delivered to the file, dropped and failed by reason.
    """

    name: str
    started_ns: int
    layers: list[str]
    camera: dict[str, Any]
    bit_depth: int
    optics: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    calibration_ns: int | None = None
    wanted: dict[str, Any] = field(default_factory=dict)
    ended_ns: int | None = None
    state: str = "recording"
    sentence: str = ""
    account: dict[str, Any] = field(default_factory=dict)

    @property
    def object_pixel_m(self) -> float | None:
        """One pixel's size in the object plane, in metres; None where it is not known."""
        known = self.known_optics
        return known.object_pixel_m if known else None

    @property
    def known_optics(self) -> Optics | None:
        """The optics; None where nothing is known of them."""
        return Optics(**self.optics) if self.optics else None

    def particulars(self, layer: str) -> dict[str, str]:
        """What a file of `layer` says of itself in plain words, beside what OME has a place for."""
        said = {
            "layer": layer,
            "unit": "rad" if layer == "phase" else "grey value",
            "camera": str(self.camera.get("source", "")),
            "calibration": CALIBRATION if self.calibration_ns is not None else "none",
        }
        for name in ("name", "version", "device"):
            if name in self.engine:
                said["engine" if name == "name" else f"engine {name}"] = str(self.engine[name])
        said |= {f"engine {key}": str(value) for key, value in dict(self.engine.get("detail", {})).items()}
        return said | {name: str(value) for name, value in dict(self.camera.get("settings", {})).items()}

    def write(self, folder: Path) -> None:
        """Write it into the recording's folder, whole or not at all, and onto the disk.

        Raises:
            OSError: the folder cannot be written to.
        """
        content = {"format": _FORMAT, "version": _VERSION, **asdict(self)}
        with whole_file(folder / NAME) as path, path.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False, default=str)
            file.flush()
            os.fsync(file.fileno())

    def _check(self) -> None:
        """Raise ValueError or TypeError where somebody has written what cannot be."""
        if not self.layers or not set(self.layers) <= _LAYERS:
            raise ValueError(f"expected layers among {', '.join(sorted(_LAYERS))}, got {self.layers}")
        if not 1 <= self.bit_depth <= _DEEPEST:
            raise ValueError(f"expected a bit depth of 1 … {_DEEPEST}, got {self.bit_depth}")
        for particulars in (self.camera.get("settings", {}), self.engine.get("detail", {})):
            if not isinstance(particulars, dict):
                raise TypeError(f"expected particulars by name, got {particulars!r}")
        _ = self.known_optics

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest in a recording's folder.

        Raises:
            ImageFileError: there is none, or it cannot be read.
        """
        try:
            content = json.loads((folder / NAME).read_text(encoding="utf-8"))
            if content["format"] != _FORMAT or content["version"] > _VERSION:
                raise ValueError(f"expected a {_FORMAT} of version {_VERSION}, got {content.get('version')}")
            known = {one.name: content[one.name] for one in fields(cls) if one.name in content}
            manifest = TypeAdapter(cls).validate_python(known)
            manifest._check()
        except OSError as error:
            raise ImageFileError(f"expected {NAME} in {folder}, got: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ImageFileError(f"expected a recording's {NAME}, got an error ({where}: {first['msg']})") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ImageFileError(f"expected a recording's {NAME}, got an error ({error})") from error
        return manifest


def is_recording(folder: Path) -> bool:
    """Whether a folder is a recording of this program."""
    return (folder / NAME).is_file()
