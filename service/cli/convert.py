"""Recordings as other kinds of files, for `qpi convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from qpi_live.service.cli.console import bar, one_clear_line


def convert(
    recording: Annotated[str, typer.Argument(help="Recording: a file or folder that `replay:` plays.")],
    out: Annotated[Path, typer.Argument(help="New file: NAME.ome.zarr, NAME.h5, or a new folder for OME-TIFF.")],
    channel: Annotated[str, typer.Option(help="Channel with the holograms; found by default.")] = "",
) -> None:
    """Write a recording's interferograms as OME-Zarr 0.5, qpformat's HDF5 or OME-TIFF, for other programs."""
    with one_clear_line("files"):
        from qpi_live.camera.files.conversion import convert as run_convert
        from qpi_live.camera.files.recording import open_recording

        address = recording.removeprefix("replay:")
        opened = open_recording(address, channel)
        frames = opened.frames
        opened.close()
        with bar("frames", frames) as advance:
            kind = run_convert(address, out, channel, advance)
    typer.echo(f"{out}: {frames} frames as {kind}")
