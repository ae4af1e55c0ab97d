"""What can be refused before the seconds that importing takes: an engine that is not there, or has no GPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

_NEED_A_GPU = (".trt", "goldstein-cuda")  # ends of names; all others start as fast as they can
_FLAGS = ("--engine", "--baseline")


def refuse_at_once(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """End with one sentence and exit code 2 where the command names such an engine; else do nothing.

    Settings files are not read here: what stands there is refused a little later.
    """
    if not arguments or {"--help", "-h"} & set(arguments):
        return
    command = arguments[0]
    names = _named(arguments)
    if command == "serve" and "--engine" not in names:
        names["--engine"] = environment.get("QPI_ENGINE", "")
    for name in names.values():
        if not name.endswith(_NEED_A_GPU):
            continue
        from qpi_live.models.engine import why_not_at_once

        if why_not := why_not_at_once(name):
            red, plain = ("\x1b[1;31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
            what = "Cannot serve:" if command == "serve" else "Error:"
            print(f"{red}{what}{plain} {why_not}", file=sys.stderr)
            sys.exit(2)


def _named(arguments: Sequence[str]) -> dict[str, str]:
    """The engines among a command's options, by their flags; of several the last, as the command takes it."""
    names = {}
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        before, is_one, behind = flag.partition("=")
        if before in _FLAGS:
            names[before] = behind if is_one else value
    return names
