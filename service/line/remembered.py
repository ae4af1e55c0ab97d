"""What a person chose for a camera and wants to find again after a restart: the sign of the phase."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from platformdirs import user_state_path
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.sideband import Sideband

_log = logging.getLogger(__name__)


class RememberedSidebands:
    """The sideband chosen last for each camera, in one small JSON file; a file that cannot be used is passed over."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or user_state_path("qpi-live", appauthor=False) / "sidebands.json"

    def get(self, camera: str) -> Sideband:
        """The sideband for `camera`; `auto` where none was chosen."""
        try:
            return Sideband(self._read()[camera])
        except (KeyError, ValueError):
            return Sideband.AUTO

    def put(self, camera: str, sideband: Sideband) -> None:
        """Remember `sideband` for `camera`; where the file cannot be written, say so in the log and go on."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._file) as written:
                written.write_text(json.dumps(self._read() | {camera: sideband}, indent=1))
        except OSError as error:
            _log.warning("the sideband cannot be remembered: %s", error)

    def _read(self) -> dict[str, str]:
        try:
            choices = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return choices if isinstance(choices, dict) else {}
