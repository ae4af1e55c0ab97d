"""A user's choices for each camera, kept in a file: the sign of the phase, the optics, what is measured."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from platformdirs import user_state_path
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.sideband import Sideband

_FILE_OF_0_1 = "sidebands.json"  # {camera: sideband}; what it holds is taken over with the first choice
_log = logging.getLogger(__name__)


class RememberedCameras:
    """What was chosen last for each camera, by its identity's `source`, in one small JSON file.

    A file, or a choice in it, that cannot be used is passed over. Safe to use from any thread.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or user_state_path("qpi-live", appauthor=False) / "cameras.json"
        self._lock = Lock()

    def get(self, camera: str) -> Sideband:
        """The sideband for `camera`; `auto` where none was chosen."""
        try:
            return Sideband(self._of(camera)["sideband"])
        except (KeyError, ValueError):
            return Sideband.AUTO

    def put(self, camera: str, sideband: Sideband) -> None:
        """Remember `sideband` for `camera`; where the file cannot be written, say so in the log and go on."""
        self._note(camera, "sideband", str(Sideband(sideband)))

    def optics(self, camera: str) -> StatedOptics:
        """What was said of the optics of `camera`."""
        try:
            stated = StatedOptics(**self._of(camera)["optics"])
            stated.over(None)
        except (KeyError, TypeError, ValueError):
            return StatedOptics()
        return stated

    def put_optics(self, camera: str, stated: StatedOptics) -> None:
        """Remember what was said of the optics of `camera`, as `put` does."""
        self._note(camera, "optics", {name: value for name, value in asdict(stated).items() if value is not None})

    def measuring(self, camera: str) -> object:
        """What is measured of `camera`, as `put_measuring` was given it; None where nothing was."""
        return self._of(camera).get("measuring")

    def put_measuring(self, camera: str, chosen: dict[str, Any]) -> None:
        """Remember what is measured of `camera`, as `put` does."""
        self._note(camera, "measuring", chosen)

    def _of(self, camera: str) -> dict[str, Any]:
        choices = self._read().get(camera)
        return choices if isinstance(choices, dict) else {}

    def _note(self, camera: str, what: str, chosen: object) -> None:
        with self._lock:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                choices = self._read() | {camera: self._of(camera) | {what: chosen}}
                with whole_file(self._file) as written:
                    written.write_text(json.dumps(choices, indent=1))
            except OSError as error:
                _log.warning("the %s of %s cannot be remembered: %s", what, camera, error)

    def _read(self) -> dict[str, Any]:
        if self._file.exists():
            return _object_in(self._file)
        before = _object_in(self._file.with_name(_FILE_OF_0_1))
        return {camera: {"sideband": chosen} for camera, chosen in before.items() if isinstance(chosen, str)}


def _object_in(file: Path) -> dict[str, Any]:
    try:
        choices = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return choices if isinstance(choices, dict) else {}
