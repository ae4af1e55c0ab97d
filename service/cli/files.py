"""`qpi files`: the contents of a recording."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from qpi_live.service.cli.console import one_clear_line, print_table

if TYPE_CHECKING:
    from qpi_live.camera.files.contents import Contents, Stack

_COLUMNS = ("name", "frames", "channels", "size, px", "type", "scale", "wavelength", "frame rate", "modality")
_ALWAYS = 5  # the first columns; the others only where a file says something


def files(
    path: Annotated[str, typer.Argument(help="File or folder, or PATH::NAME for one dataset in it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    channel: Annotated[str, typer.Option(help="Channel to play; found by default.")] = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Close a recording that was cut off; keep what is whole.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Check every frame of a recording by its checksum.")] = False,
) -> None:
    """List what a recording holds: datasets, frames, channels, sizes, scale, times; and what would be played."""
    from qpi_live.camera.files.image_bounds import ImageFileError
    from qpi_live.camera.files.recording import list_contents, recording_of

    path = path.removeprefix("replay:")
    if repair or verify:
        with one_clear_line():
            _check(Path(path), repair)
    with one_clear_line():
        contents = list_contents(path)
        try:
            found = recording_of(path, contents, channel)
            played: dict[str, Any] = {
                "plays": True, "sentence": found.remark, "frames": found.frames, "bit_depth": found.bit_depth
            }  # fmt: skip
        except ImageFileError as error:
            played = {"plays": False, "sentence": str(error)}
        finally:
            contents.close()
    if as_json:
        typer.echo(json.dumps(_as_json(path, contents) | {"replay": played}, ensure_ascii=False, indent=2))
        return
    rows = [_row(stack) for stack in contents.stacks]
    known = [at for at in range(len(_COLUMNS)) if at < _ALWAYS or any(row[at] != "–" for row in rows)]
    columns = [_COLUMNS[at] for at in known]
    print_table(f"{path}: {contents.kind}", columns, [[row[at] for at in known] for row in rows])
    if played["plays"]:
        bits = f"{played['frames']} frames of {played['bit_depth']} bit"
        typer.echo(f"`qpi serve --camera replay:{path}` plays {bits}. {played['sentence']}".rstrip())
    else:
        typer.echo(f"`qpi serve --camera replay:{path}` needs more: {played['sentence']}")


def _check(folder: Path, closes: bool) -> None:
    """Say how many frames of a recording are whole, and close it if asked; exit code 1 where some are not."""
    from qpi_live.camera.files.repair import check, repair

    layers = repair(folder) if closes else check(folder)
    for one in layers:
        torn = f", {one.torn} torn" if one.torn else ""
        typer.echo(f"{folder.name}: {one.frames} frames of {one.layer} are whole{torn}. {one.missing}".rstrip())
    if not closes and any(one.torn or one.missing for one in layers):
        raise typer.Exit(1)


def _row(stack: Stack) -> tuple[str, ...]:
    facts, optics = stack.facts, stack.facts.optics
    wavelengths = [channel.wavelength_m for channel in stack.channels]
    wavelength_m = (optics.wavelength_m if optics else None) or next((one for one in wavelengths if one), None)
    pixel_m = optics.object_pixel_m if optics else None
    count = f"{stack.frames} of {stack.promised}" if stack.promised > stack.frames else str(stack.frames)
    bits = f", {facts.bit_depth} bit" if facts.bit_depth else ""
    return (
        stack.name or "–",
        count,
        ", ".join(channel.name or "–" for channel in stack.channels),
        f"{stack.shape[0]} × {stack.shape[1]}",
        f"{stack.dtype}{bits}",
        f"{pixel_m * 1e6:.4g} µm" if pixel_m else "–",
        f"{wavelength_m * 1e9:.4g} nm" if wavelength_m else "–",
        f"{facts.frame_rate_hz:.4g} Hz" if facts.frame_rate_hz else "–",
        facts.modality or "–",
    )


def _as_json(path: str, contents: Contents) -> dict[str, Any]:
    stacks = [
        {
            "name": stack.name,
            "frames": stack.frames,
            "promised_frames": stack.promised,
            "channels": [asdict(channel) for channel in stack.channels],
            "shape": stack.shape,
            "dtype": stack.dtype,
            "bit_depth": stack.facts.bit_depth,
            "optics": asdict(stack.facts.optics) if stack.facts.optics else None,
            "frame_rate_hz": stack.facts.frame_rate_hz,
            "modality": stack.facts.modality,
            "remark": stack.remark,
        }
        for stack in contents.stacks
    ]
    return {"path": path, "kind": contents.kind, "datasets": stacks}
