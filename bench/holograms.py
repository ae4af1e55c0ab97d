"""Measures unwrapping on real holograms, and the cost of residues.

    QPI_HOLOGRAMS=DIR python bench/holograms.py
    python bench/holograms.py --holograms DIR --cases DIR --pictures OUT --json result.json

Every hologram goes through the same retrieval; then the classical chain's unwrapping and those of the peers take the
same wrapped phase. A bright jump is a step over π between two neighbours whose fringe amplitude is above half the
median. There, a step of 2π is seldom true. Ground is the spread of the commonest half of the bright pixels after a
fourth-order background fit. kamui is left out where there are more than 1,500 residues. A file that shows no off-axis
hologram is named and left out. The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

import json as json_format
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from qpi_live.bench.pictures import save_unwrapped
from qpi_live.bench.report import JsonFile, console, finish, peers_or_none
from qpi_live.camera.errors import CameraError
from qpi_live.camera.files.recording import open_recording
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.band_peak import BandPeak
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.classical.takeda import TakedaRetriever, WrappedField
from qpi_live.models.classical.unwrapping import goldstein
from qpi_live.models.classical.unwrapping.branch_cuts import find_residues
from qpi_live.models.errors import InferenceError
from rich.table import Table
from scipy.ndimage import gaussian_filter

OURS, SLOW_PEER = "goldstein", "kamui"
Phase = NDArray[np.float32]
Unwrapper = Callable[[WrappedField], Phase]
_MOST_RESIDUES_FOR_SLOW = 1500  # beyond, it takes minutes
_GRAIN_PX = 2.0  # of the speckle in frames with a given number of residues


@dataclass(frozen=True, slots=True)
class Hologram:
    """A file's wrapped field."""

    name: str
    field: WrappedField


def main(
    holograms: Annotated[
        Path | None, typer.Option(envvar="QPI_HOLOGRAMS", help="Folder of holograms, with or without a manifest.json.")
    ] = None,
    cases: Annotated[Path | None, typer.Option(help="Another folder of holograms.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Times that the chain unwraps each hologram; peers once.")] = 5,
    size: Annotated[int, typer.Option(min=64, help="Edge of the frames with a given number of residues.")] = 1024,
    residues: Annotated[str, typer.Option(help="Numbers of residues whose cost to measure.")] = "0,500,6000,15000",
    peers: Annotated[bool, typer.Option(help="Also let scikit-image and kamui unwrap.")] = True,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures, side by side.")] = None,
    json: JsonFile = None,
) -> None:
    """Unwrap real holograms with the classical chain and its peers."""
    folders = [folder for folder in (holograms, cases) if folder is not None]
    for folder in folders:
        if not folder.is_dir():
            raise typer.BadParameter(f"expected a folder of holograms, got {folder}")
    unwrappers: dict[str, Unwrapper] = {}
    if peers and (module := peers_or_none()) is not None:
        unwrappers = module.unwrappers()
    figures: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for hologram in _holograms(folders, left_out):
        figures[hologram.name] = _judge(hologram, unwrappers, repeats, pictures)
        console.print(_line(hologram.name, figures[hologram.name]))
    if figures:
        console.print(_table(figures))
    for name, reason in left_out.items():
        console.print(f"left out: {name}: {reason}")
    cost = {number: _cost(number, size, repeats) for number in (int(text) for text in residues.split(",") if text)}
    console.print(_cost_table(cost, size))
    finish({"holograms": figures, "left_out": left_out, "residues": cost, "size": size}, json)


def _holograms(folders: list[Path], left_out: dict[str, str]) -> Iterator[Hologram]:
    for folder in folders:
        for path in _files(folder):
            try:
                frame = open_recording(str(path)).read(0)
                retriever = TakedaRetriever(frame.pixels.shape, find_carrier(frame.pixels, frame.bit_depth))
            except (CameraError, InferenceError, ValueError) as error:
                left_out[path.name] = str(error)
                continue
            yield Hologram(path.name, retriever.wrapped_field(frame.pixels))


def _files(folder: Path) -> list[Path]:
    """The files that the folder's manifest names, or all but texts and truths."""
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return [folder / entry["file"] for entry in json_format.loads(manifest.read_text())["files"]]
    others = (".json", ".md", ".txt")
    return sorted(path for path in folder.iterdir() if path.suffix not in others and "truth" not in path.name)


def _judge(hologram: Hologram, peers: dict[str, Unwrapper], repeats: int, pictures: Path | None) -> dict[str, Any]:
    field = hologram.field
    goldstein.unwrap(field.phase_rad, field.amplitude)  # compiles
    took_ms, unwrapped = _timed(lambda: goldstein.unwrap(field.phase_rad, field.amplitude), repeats)
    phases, times = {OURS: unwrapped.phase_rad}, {OURS: took_ms}
    for name, unwrap in peers.items():
        if name == SLOW_PEER and len(unwrapped.residues) > _MOST_RESIDUES_FOR_SLOW:
            continue
        times[name], phases[name] = _timed(partial(unwrap, field), 1)
    if pictures is not None:
        levelled = {name: _levelled(phase) for name, phase in phases.items()}
        save_unwrapped(pictures / f"{Path(hologram.name).stem}.png", field.amplitude, levelled)
    return {
        "shape": list(field.phase_rad.shape),
        "residues": len(unwrapped.residues),
        "disputed_pixels": unwrapped.disputed_pixels,
        "bright_cut_links_per_root_px": round(unwrapped.bright_cut_links / field.phase_rad.size**0.5, 4),
        "unwrappers": {
            name: {
                "bright_jumps": bright_jumps(phase, field.amplitude),
                "ground_rad": round(_ground_rad(phase, field.amplitude), 4),
                "min_ms": round(min(times[name]), 2),
                "median_ms": round(median(times[name]), 2),
            }
            for name, phase in phases.items()
        },
    }


def bright_jumps(phase_rad: Phase, amplitude: Phase) -> int:
    """Links with a step over π between two pixels of an amplitude above half the median; (H, W) each."""
    bright = amplitude > 0.5 * np.median(amplitude)
    down = (np.abs(np.diff(phase_rad, axis=0)) > np.pi) & bright[1:] & bright[:-1]
    right = (np.abs(np.diff(phase_rad, axis=1)) > np.pi) & bright[:, 1:] & bright[:, :-1]
    return int(down.sum() + right.sum())


def _levelled(phase_rad: Phase) -> Phase:
    levelled = phase_rad.copy()
    BackgroundFit(levelled.shape, order=4).remove(levelled)
    return levelled


def _ground_rad(phase_rad: Phase, amplitude: Phase) -> float:
    """σ of a Gaussian whose commonest half is as wide as that of the bright pixels."""
    ordered = np.sort(_levelled(phase_rad)[amplitude > 0.5 * np.median(amplitude)])
    half = max(len(ordered) // 2, 1)
    return float((ordered[half:] - ordered[: len(ordered) - half]).min()) / (2 * 0.6745)


def _timed(call: Callable[[], Any], repeats: int) -> tuple[list[float], Any]:
    took_ms = []
    for _ in range(repeats):
        start = perf_counter()
        answer = call()
        took_ms.append((perf_counter() - start) * 1e3)
    return took_ms, answer


def _cost(number: int, size: int, repeats: int) -> dict[str, float]:
    """What unwrapping costs where speckle darkens a bright field to zero in so many points."""
    field = speckled(number, size)
    goldstein.unwrap(field.phase_rad, field.amplitude)
    took_ms, unwrapped = _timed(lambda: goldstein.unwrap(field.phase_rad, field.amplitude), max(repeats, 5))
    return {
        "residues": len(unwrapped.residues),
        "min_ms": round(min(took_ms), 2),
        "median_ms": round(median(took_ms), 2),
    }


def speckled(number: int, size: int) -> WrappedField:
    """A smooth object under so much speckle that the field has about `number` residues, which are its zeros."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    ground = np.exp(1j * (12 * np.exp(-8 * ((x - 0.3) ** 2 + y**2)) + 3 * x * y))
    grain = gaussian_filter(rng.normal(size=(2, size, size)), (0, _GRAIN_PX, _GRAIN_PX), mode="wrap")
    speckle = (grain[0] + 1j * grain[1]) / np.sqrt(2 * np.mean(grain**2))
    lower, upper = 0.0, 4.0
    for _ in range(14):
        share = (lower + upper) / 2
        field = ground + share * speckle
        found = find_residues(np.angle(field).astype(np.float32), RowBands(size))
        lower, upper = (share, upper) if len(found) < number else (lower, share)
    field = ground + lower * speckle if number == 0 else field
    no_peak = BandPeak(0.0, 0.0, 0.0, 0.0)  # no band was looked at
    return WrappedField(np.angle(field).astype(np.float32), np.abs(field).astype(np.float32), no_peak)


def _line(name: str, figures: dict[str, Any]) -> str:
    jumps = ", ".join(f"{peer} {row['bright_jumps']}" for peer, row in figures["unwrappers"].items())
    return f"{name}: {figures['residues']} residues; bright jumps {jumps}"


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title="bright jumps · ground in rad · ms (the chain: min, median)", title_justify="left")
    table.add_column("hologram")
    table.add_column("residues", justify="right")
    names = list(dict.fromkeys(name for row in figures.values() for name in row["unwrappers"]))
    for name in names:
        table.add_column(name, justify="right")
    for hologram, row in figures.items():
        cells = []
        for name in names:
            one = row["unwrappers"].get(name)
            if one is None:
                cells.append("–")
                continue
            times = f"{one['min_ms']:.1f}, {one['median_ms']:.1f}" if name == OURS else f"{one['min_ms']:.0f}"
            cells.append(f"{one['bright_jumps']} · {one['ground_rad']:.3f} · {times}")
        table.add_row(hologram, str(row["residues"]), *cells)
    return table


def _cost_table(cost: dict[int, dict[str, float]], size: int) -> Table:
    table = Table(title=f"unwrapping {size} × {size} px of speckle, ms", title_justify="left")
    for column in ("residues", "min", "median"):
        table.add_column(column, justify="right")
    for row in cost.values():
        table.add_row(f"{row['residues']:.0f}", f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}")
    return table


if __name__ == "__main__":
    typer.run(main)
