"""How many frames a second are recorded, beside the disk's own rate and the live line's; and what a kill −9 leaves.

    python bench/recording.py
    python bench/recording.py --size 1024 --fps 500 --seconds 10 --folder /data
    python bench/recording.py --kills 100 --size 256 --fps 200 --format ome-zarr

- `disk`: blocks as large as a frame, written one after the other and brought to the disk, as many as are recorded; many
  a disk takes the first ones faster. With `--folder` in memory (tmpfs) the program is seen without one.
- `writer`: the recorder's pages alone, checksums included.
- `line`: a real `qpi serve` replays fringes at `--fps` and records them, while its engine makes phase of what it can.
  Every frame that the camera gave is in the file or counted as lost.
- `--kills`: the service is killed at a random moment of its recording, again and again. Every frame older than a second
  must open, be whole by its checksum, and none be missing in between, without any repair.

The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

import json as json_
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, monotonic_ns, perf_counter, sleep, time_ns
from typing import Annotated, Any

import numpy as np
import tifffile
import typer
import zarr
from qpi_live.bench.report import JsonFile, ScratchFolder, console, finish
from qpi_live.bench.stream.service import fringes_file
from qpi_live.camera.files.repair import check, repair
from qpi_live.camera.files.writers.frame_list import read_entries
from qpi_live.camera.files.writers.layer_names import Format, format_of, list_name, part_name, zarr_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.camera.frame import Frame
from qpi_live.service.client import PhaseClient

_PROGRAM = "from qpi_live.service.cli.main import main; main()"
_LAYER = "interferogram"
_AGE_NS = 1_000_000_000
_BLOCKS = 400
_STEP_S, _STILL_S = 0.02, 0.5


def main(
    size: Annotated[int, typer.Option(min=64, help="Edge of the frames, in pixels.")] = 1024,
    fps: Annotated[float, typer.Option(min=1, help="The camera's frames per second.")] = 500,
    seconds: Annotated[float, typer.Option(min=1, help="How long to record.")] = 10,
    engine: Annotated[str, typer.Option(help="Engine that makes the phase meanwhile.")] = "goldstein",
    kind: Annotated[Format, typer.Option("--format", help="What the frames are written as.")] = Format.TIFF,
    kills: Annotated[int, typer.Option(min=0, help="Kill the service so many times instead.")] = 0,
    folder: ScratchFolder = None,
    json: JsonFile = None,
) -> None:
    """Measure recording."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        result: dict[str, Any] = {"size": size, "fps_set": fps, "engine": engine, "format": kind}
        if kills:
            result |= _kill_all(place, kills, size, fps, engine, kind)
        else:
            result |= _rates(place, size, fps, seconds, engine, kind)
    finish(result, json)


def _rates(place: Path, size: int, fps: float, seconds: float, engine: str, kind: Format) -> dict[str, Any]:
    image = np.random.default_rng(0).integers(0, 255, (size, size), dtype=np.uint8)
    frames = round(fps * seconds)
    burst_fps, disk_fps = disk_rates(place, image, frames)
    writer_fps = writer_rate(place, image, kind)
    line = line_rate(place, size, fps, seconds, engine, kind)
    console.print(
        f"the disk alone: {disk_fps:.0f} frames/s of {image.nbytes / 2**20:.2f} MiB over {frames} frames, "
        f"{burst_fps:.0f} over the first {_BLOCKS}"
    )
    console.print(f"the writer alone: {writer_fps:.0f} frames/s over {_BLOCKS} frames")
    console.print(
        f"beside the live line: {line['recorded_fps']:.0f} frames/s of {line['captured_fps']:.0f} recorded, "
        f"{line['lost']} lost; phase {line['phase_fps']:.1f} frames/s, {line['phase_alone_fps']:.1f} without recording"
    )
    return {"disk_fps": disk_fps, "disk_burst_fps": burst_fps, "writer_fps": writer_fps, "line": line}


def disk_rates(place: Path, image: np.ndarray, blocks: int) -> tuple[float, float]:
    """Blocks a second, of an image's size, that the disk takes, until they are on it: the first few, and so many."""
    began, burst_s = perf_counter(), 0.0
    with (place / "blocks").open("wb", buffering=0) as file:
        for number in range(1, max(blocks, _BLOCKS) + 1):
            file.write(image.data)
            if number % _BLOCKS == 0:
                os.fsync(file.fileno())
                burst_s = burst_s or perf_counter() - began
        os.fsync(file.fileno())
    took_s = perf_counter() - began
    (place / "blocks").unlink()
    return _BLOCKS / burst_s, max(blocks, _BLOCKS) / took_s


def writer_rate(place: Path, image: np.ndarray, kind: Format = Format.TIFF) -> float:
    """Frames a second that the recorder's writer takes, until they are on the disk."""
    folder = place / "writer"
    folder.mkdir()
    manifest = Manifest("writer", time_ns(), [_LAYER], {}, 8)
    layer = RecordedLayer(folder, _LAYER, manifest, None, kind)
    began = perf_counter()
    for number in range(_BLOCKS):
        layer.append(Frame(image, 8, number, time_ns(), monotonic_ns()), image)
    layer.close()
    took_s = perf_counter() - began
    shutil.rmtree(folder)
    return _BLOCKS / took_s


def line_rate(
    place: Path, size: int, fps: float, seconds: float, engine: str, kind: Format = Format.TIFF
) -> dict[str, Any]:
    """What a service records at this rate, and what it makes of the frames meanwhile."""
    with serving(place, size, fps, engine) as (_, client):
        sleep(3)
        alone = client.stats().fps.delivered
        name = client.record("line", seconds=seconds, format=kind)["name"]
        sleep(seconds * 0.8)
        beside = client.stats().fps.delivered
        ended = client.recordings.wait(name, seconds + 60)
    (whole,) = check(place / "recordings" / name)
    if whole.torn or whole.frames != ended["frames"]:
        raise typer.Exit(1)
    captured = ended["account"]["captured"]
    return {
        "captured_fps": captured / seconds,
        "recorded_fps": ended["frames"] / seconds,
        "lost": ended["lost"],
        "phase_fps": beside,
        "phase_alone_fps": alone,
    }


@contextmanager
def serving(place: Path, size: int, fps: float, engine: str) -> Iterator[tuple[subprocess.Popen[str], PhaseClient]]:
    """A service that replays fringes, and records into `place`; it is ready."""
    fringes = place / f"fringes-{size}.npy"
    if not fringes.exists():
        fringes_file(place, size)
    options = ["--camera", f"replay:{fringes}", "--fps", str(fps), "--engine", engine, "--baseline-fraction", "0"]
    options += ["--recordings", str(place / "recordings"), "--recordings-free-mb", "0", "--log-level", "warning"]
    command = [sys.executable, "-c", _PROGRAM, "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        found = re.search(r"http://\S+", process.stdout.readline() if process.stdout else "")
        if found is None:
            raise typer.Exit(2)  # the service has said why
        try:
            with PhaseClient(found[0]) as client:
                while not client.is_ready():
                    sleep(0.1)
                yield process, client
        finally:
            process.terminate()


@dataclass(frozen=True, slots=True)
class Left:
    """What a kill left: frames in the file, those that are missing though older than a second, those torn.

    `stood_still_s` is how long this program itself was not run meanwhile: the service may have stood still with it.
    """

    frames: int
    missing: int
    torn: int
    repaired: int
    stood_still_s: float = 0.0


def kill_once(place: Path, size: int, fps: float, engine: str, after_s: float, kind: Format = Format.TIFF) -> Left:
    """Kill a service `after_s` into its recording, and look at what is there, before and after its repair."""
    name = f"kill {time_ns()}"
    with serving(place, size, fps, engine) as (process, client):
        client.record(name, format=kind)
        stood_still_s = _sleep_in_steps(after_s)
        process.send_signal(signal.SIGKILL)
        killed_ns = time_ns()
        process.wait()
    folder = place / "recordings" / name
    left = left_in(folder, fringes_of(place, size), killed_ns, fps)
    (mended,) = repair(folder)
    shutil.rmtree(folder)
    return Left(left.frames, left.missing, left.torn, mended.frames, stood_still_s)


def _sleep_in_steps(seconds: float) -> float:
    """Sleep so long; by how much the longest step was too long, as where the whole machine was stopped."""
    until, longest_s, last = monotonic() + seconds, 0.0, monotonic()
    while last < until:
        sleep(_STEP_S)
        longest_s, last = max(longest_s, monotonic() - last), monotonic()
    return longest_s - _STEP_S


def fringes_of(place: Path, size: int) -> np.ndarray:
    """The frames that are replayed."""
    fringes: np.ndarray = np.load(place / f"fringes-{size}.npy")
    return fringes


def left_in(folder: Path, fringes: np.ndarray, killed_ns: int, fps: float) -> Left:
    """What is in a recording that was cut off, read as any program reads it: by tifffile or by zarr."""
    entries = list(read_entries(folder / list_name(_LAYER)))
    if format_of(folder, _LAYER) is Format.ZARR:
        array: Any = zarr.open_group(folder / zarr_name(_LAYER), mode="r")["0"]
        images: list[np.ndarray] = [array[at] for at in range(array.shape[0])]
        told = [(entry.sequence, entry.captured_ns) for entry in entries[: len(images)]]
    else:
        with tifffile.TiffFile(folder / part_name(_LAYER, 0)) as tiff:
            images = [page.asarray() for page in tiff.pages]
            about = [json_.loads(str(tiff.pages.get(n).aspage().description)) for n in range(1, len(images))]
        told = [(entries[0].sequence, entries[0].captured_ns)]
        told += [(one["sequence"], one["captured_ns"]) for one in about]
    torn = sum(
        not (image == fringes[sequence % len(fringes)]).all() for image, (sequence, _) in zip(images, told, strict=True)
    )
    (first, _), (last, newest_ns) = told[0], told[-1]
    gaps = last - first + 1 - len(told)
    late_s = max(0, killed_ns - _AGE_NS - newest_ns) / 1e9
    return Left(len(images), gaps + round(late_s * fps), torn, 0)


def _kill_all(place: Path, kills: int, size: int, fps: float, engine: str, kind: Format) -> dict[str, Any]:
    chance = random.Random(0)
    left: list[Left] = []
    while len(left) < kills:
        one = kill_once(place, size, fps, engine, 1.5 + 2 * chance.random(), kind)
        console.print(f"kill {len(left) + 1}: {one}")
        if one.stood_still_s < _STILL_S:
            left.append(one)
        else:
            console.print("once more: the machine stood still")
    missing, torn = sum(one.missing for one in left), sum(one.torn for one in left)
    frames = sum(one.frames for one in left)
    console.print(f"{kills} kills at {fps:g} frames/s: {frames} frames, {missing} older than 1 s missing, {torn} torn")
    return {"kills": kills, "frames": frames, "missing": missing, "torn": torn}


if __name__ == "__main__":
    typer.run(main)
