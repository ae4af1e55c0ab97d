"""Settings as editors and env files leave them: read in spite of a BOM, and a mistyped name is told."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

DEFAULT_FILE = Path("qpi.toml")
PREFIX = "QPI_"
# What containers, scripts and tests read themselves (see .env and docker/).
_OTHER_VARIABLES = frozenset({
    "SETTINGS", "BIND", "UID", "GID", "USB_GID", "RECORDINGS", "MODELS", "MODEL", "ENGINES", "ENV_FILE",
    "DOCKER_CACHE", "HOLOGRAMS", "URL",
})  # fmt: skip
_NATIVE = (".cti", ".so", ".dll", ".dylib", ".trt")
_MAY_NAME_CODE = ("camera", "more_cameras", "other_cameras", "engine", "baseline")


class SettingsError(ValueError):
    """A setting that cannot be used; the text says which, and what was expected."""


def read_toml(file: Path) -> dict[str, Any]:
    """What stands in a settings file, which may begin with a byte order mark, as Windows' editors write it.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it is no TOML.
    """
    if not file.is_file():
        raise SettingsError(f"expected a settings file at {file}, got none; check the path")
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except ValueError as error:
        raise SettingsError(f"expected TOML in {file}, got: {error}") from error
    except OSError as error:
        raise SettingsError(f"expected a readable settings file at {file}, got: {error.strerror or error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a sentence; empty where nothing is near."""
    found = get_close_matches(name.lower(), list(known), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def set_by_environment() -> set[str]:
    """The names of what the environment sets."""
    return {name[len(PREFIX) :].lower() for name, value in os.environ.items() if value and _is_ours(name)}


def unknown_variables(known: Iterable[str]) -> list[str]:
    """A sentence for each variable that looks like a setting of this program and is none."""
    known = list(known)
    return [
        f"expected a setting behind {PREFIX}, got {PREFIX}{name.upper()}, which is passed over"
        f"{nearest(name, known).replace(chr(39), '')}"
        for name in sorted(set_by_environment())
        if name not in known and name.upper() not in _OTHER_VARIABLES
    ]


def refuse_native_code(file: Path, written: Mapping[str, object]) -> None:
    """Refuse code that runs on the processor itself where a file that merely lies in this folder names it.

    Raises:
        SettingsError: it does; the text says how to allow it.
    """
    for name in _MAY_NAME_CODE:
        value = written.get(name, "")
        for one in value if isinstance(value, list | tuple) else str(value).split(","):
            if str(one).strip().lower().endswith(_NATIVE):
                raise SettingsError(
                    f"{file}: expected no native code from a file that merely lies in this folder, got {name} = "
                    f"{str(one)!r}; start with --settings {file} to say that you mean it"
                )


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX)
