"""The checksum of a network's file: its SHA-256, in a small file beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from qpi_live.camera.whole_file import whole_file
from qpi_live.models.errors import EngineUnavailable


def intact(network: Path) -> bytes:
    """The bytes of the file `network`; one without a checksum beside it is taken as it is.

    Raises:
        EngineUnavailable: it was cut short or altered since it was exported.
        OSError: it cannot be read.
    """
    content = network.read_bytes()
    try:
        expected = checksum_path(network).read_text(encoding="utf-8").split()[0]
    except FileNotFoundError:
        return content
    except (OSError, ValueError, IndexError) as error:
        raise EngineUnavailable(
            f"expected the SHA-256 of {network.name} in {checksum_path(network).name}, got: {error}; export it again"
        ) from error
    got = sha256(content)
    if got != expected:
        raise EngineUnavailable(
            f"expected {network.name} as it was exported (SHA-256 {expected[:12]}…), got a file that was cut short or "
            f"altered ({got[:12]}…, {len(content)} bytes); copy or export it again"
        )
    return content


def note_checksum(network: Path) -> None:
    """Write the checksum of the file `network` beside it, as `sha256sum --check` reads it."""
    with whole_file(checksum_path(network)) as written:
        written.write_text(f"{sha256(network.read_bytes())}  {network.name}\n", encoding="utf-8")


def forget_checksum(network: Path) -> None:
    """Before the file `network` is replaced: no checksum is better than another file's."""
    checksum_path(network).unlink(missing_ok=True)


def checksum_path(network: Path) -> Path:
    """Where the checksum of the file `network` lies."""
    return network.with_name(f"{network.name}.sha256")


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
