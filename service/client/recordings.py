"""Recordings on the service's disk, controlled from a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qpi_live.service.client.received import ServiceError

if TYPE_CHECKING:
    from qpi_live.service.client.rest import Rest

_POLL_S = 0.2
_UNFINISHED = ("waiting", "recording")


class RecordingControl:
    """What the page's record button and gallery can do; every method may raise ServiceError with a sentence."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def start(self, name: str = "", **wanted: Any) -> dict[str, Any]:
        """Begin a recording; see `PhaseClient.record`. How it stands: `name`, `state`, `frames`, `lost`, and so on."""
        return dict(self._rest.ask("POST", "/recordings", json={"name": name, **wanted}).json())

    def all(self) -> dict[str, Any]:
        """Those that are made now, `running`; those on the disk, `kept`; what it still takes, `free_bytes`."""
        return dict(self._rest.ask("GET", "/recordings").json())

    def one(self, name: str) -> dict[str, Any]:
        """How a recording stands (`running`), and what of it is on the disk (`kept`)."""
        return dict(self._rest.ask("GET", _at(name)).json())

    def stop(self, name: str) -> dict[str, Any]:
        """End a recording; as `one`, once it is closed. One that is over stays as it is."""
        return dict(self._rest.ask("POST", f"{_at(name)}/stop").json())

    def trigger(self, name: str) -> dict[str, Any]:
        """Let a recording begin that waits for it, with the seconds before now."""
        return dict(self._rest.ask("POST", f"{_at(name)}/trigger").json())

    def delete(self, name: str) -> None:
        """Delete a recording; `restore` brings it back within an hour.

        Raises:
            ServiceError: it is still made: `stop` it first.
        """
        self._rest.ask("DELETE", _at(name))

    def restore(self, name: str) -> dict[str, Any]:
        """Bring back what was deleted."""
        return dict(self._rest.ask("POST", f"{_at(name)}/restore").json())

    def wait(
        self, name: str, timeout_s: float | None = None, on_status: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """How a recording ended, once it has.

        Args:
            name: of the recording.
            timeout_s: how long to wait; None: for ever.
            on_status: called a few times a second with how it stands.

        Raises:
            ServiceError: it has not ended within `timeout_s`.
        """
        until = None if timeout_s is None else monotonic() + timeout_s
        while True:
            one = self.one(name)
            if on_status is not None and one["running"]:
                on_status(one["running"])
            status = dict(one["running"] or one["kept"])  # on the disk alone, where the service started again
            if status["state"] not in _UNFINISHED:
                return status
            if until is not None and monotonic() > until:
                raise ServiceError(f"expected {name!r} to end within {timeout_s:g} s, and it has not")
            sleep(_POLL_S)

    def download(self, name: str, folder: Path | str) -> Path:
        """Copy all files of a recording into a new folder of its name in `folder`; that folder.

        Raises:
            ServiceError: there is none of that name.
            FileExistsError: there is such a folder.
        """
        kept = self.one(name)["kept"]
        if kept is None:
            raise ServiceError(f"expected a recording that is over, got {name!r}; `stop` it first")
        target = Path(folder) / name
        target.mkdir(parents=True)
        for file in kept["files"]:
            self._rest.download(f"{_at(name)}/files/{quote(file, safe='')}", target / file)
        return target


def _at(name: str) -> str:
    return f"/recordings/{quote(name, safe='')}"
