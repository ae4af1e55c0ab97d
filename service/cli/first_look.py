"""What can be refused before the seconds that importing takes: an engine that is not there, or has no GPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qpi_live.service.settings_file import DEFAULT_FILE, PREFIX, SettingsError, read_toml, refuse_native_code

_NEED_A_GPU = (".trt", "goldstein-cuda")  # ends of names; all others start as fast as they can
_SETTINGS = ("engine", "baseline")  # that name one


def refuse_at_once(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """End with one sentence and exit code 2 where such an engine is asked for, however it is named; else do nothing.

    A service's settings file is refused here, too, where it cannot be read.
    """
    if not arguments or {"--help", "-h"} & set(arguments):
        return
    named = _options(arguments, _SETTINGS)
    what = "Error:"
    if arguments[0] == "serve":
        what = "Cannot serve:"
        try:
            named = _settings(arguments, environment, named)
        except SettingsError as error:
            _refuse(what, str(error))
    for name in named.values():
        if not name.endswith(_NEED_A_GPU):
            continue
        from qpi_live.models.engine import why_not_at_once

        if why_not := why_not_at_once(name):
            _refuse(what, why_not)


def _options(arguments: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """A command's options of these names; of several the last, as the command takes it."""
    found = {}
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        before, is_one, behind = flag.partition("=")
        if before.startswith("--") and before[2:] in wanted:
            found[before[2:]] = behind if is_one else value
    return found


def _settings(arguments: Sequence[str], environment: Mapping[str, str], named: dict[str, str]) -> dict[str, str]:
    """What `qpi serve` makes of its options, the environment and the settings file: each beats those behind it.

    Raises:
        SettingsError: the file cannot be read, or names native code that nobody has asked for.
    """
    of_environment = {name.lower(): value for name, value in environment.items() if value}
    named = {name: of_environment.get(f"{PREFIX}{name}".lower(), "") for name in _SETTINGS} | named
    given = _options(arguments, ("settings",)).get("settings") or environment.get(f"{PREFIX}SETTINGS")
    if not given and not DEFAULT_FILE.is_file():
        return named
    file = Path(given) if given else DEFAULT_FILE
    written = {name: value for name, value in read_toml(file).items() if isinstance(value, str)}
    in_force = {name: written[name] for name in _SETTINGS if name in written and not named[name]}
    if not given:
        refuse_native_code(file, in_force)
    return named | in_force


def _refuse(what: str, why_not: str) -> None:
    red, plain = ("\x1b[1;31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}{what}{plain} {why_not}", file=sys.stderr)
    sys.exit(2)
