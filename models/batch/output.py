"""What is made of a recording, on the disk: regions that are whole or not there, and what is known of each frame.

A region that is done has a note in `.regions`; the note is written last, so that a region without one is made again.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.writers.layer_names import part_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.ome_text import ome_text
from qpi_live.camera.files.writers.ome_zarr import create_ome_zarr, write_shard
from qpi_live.camera.files.writers.page_file import PageFile, PageLayout
from qpi_live.camera.whole_file import drop_unfinished, whole_file
from qpi_live.models.batch.job import Job

ZARR, TIFF = "ome-zarr", "ome-tiff"
JOB, FRAMES = "processing.json", "phase.frames.jsonl"
_NOTES = ".regions"


class OutputError(ValueError):
    """What is at the place of the output is something else."""


@dataclass(frozen=True, slots=True)
class FrameNote:
    """What is known of one inverted frame; `failed` says why there is no phase, which is NaN then."""

    frame: int
    failed: str | None = None
    fringes: str | None = None
    masked_share: float | None = None
    warning: str | None = None


def prepare(job: Job) -> None:
    """Make the output, or go on with one that was begun with the same job.

    Raises:
        OutputError: there is something else at its place.
    """
    described = json.loads(json.dumps(job.described()))
    if job.out.exists():
        try:
            begun = json.loads((job.out / JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OutputError(f"expected a new name, got {job.out}, which is there and was not made by this") from error
        if begun != described:
            raise OutputError(
                f"expected what {job.out.name} was begun with, got another engine or recording; give another name"
            )
        return
    partial = job.out.with_name(f".{job.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    optics = job.optics
    if job.kind == ZARR:
        create_ome_zarr(
            partial,
            job.out.name.removesuffix(".zarr").removesuffix(".ome"),
            job.frames,
            job.shape,
            np.dtype(np.float32),
            frames_per_shard=job.frames_per_region,
            object_pixel_m=optics.object_pixel_m if optics else None,
            interval_s=1 / job.frame_rate_hz if job.frame_rate_hz else None,
            is_compressed=False,  # noise in float32 gives a seventh, for a third of what the engine takes
            attributes={"qpi-live": {"layer": "phase", "unit": "rad", "engine": job.engine, "optics": _optics(job)}},
        )
    else:
        partial.mkdir()
        _manifest(job).write(partial)
    (partial / _NOTES).mkdir()
    (partial / JOB).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    partial.rename(job.out)


def done(job: Job) -> set[int]:
    """The regions that are whole; all of them where the output is closed."""
    notes = job.out / _NOTES
    if not notes.is_dir():
        return set(range(job.regions))
    return {int(path.stem) for path in notes.glob("*.jsonl")}


def write(job: Job, number: int, phase_rad: NDArray[np.float32], notes: list[FrameNote]) -> None:
    """Write a region, (frames, H, W) in rad, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    frames = job.region(number)
    if job.kind == ZARR:
        write_shard(job.out, number, job.frames_per_region, phase_rad)
    else:
        with whole_file(job.out / part_name("phase", number)) as path:
            _write_pages(job, path, phase_rad, frames)
    with whole_file(job.out / _NOTES / f"{number:08d}.jsonl") as path:
        lines = [json.dumps({k: v for k, v in asdict(note).items() if v is not None}) for note in notes]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def notes_of(job: Job) -> list[FrameNote]:
    """What is known of the frames so far, in their order."""
    closed = job.out / FRAMES
    paths = [closed] if closed.is_file() else sorted((job.out / _NOTES).glob("*.jsonl"))
    return [FrameNote(**json.loads(line)) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def close(job: Job) -> None:
    """Put the notes together, once all regions are there. Doing it twice is harmless."""
    notes = job.out / _NOTES
    if not notes.is_dir():
        return
    with whole_file(job.out / FRAMES) as path, path.open("wb") as file:
        for number in range(job.regions):
            file.write((notes / f"{number:08d}.jsonl").read_bytes())
        file.flush()
        os.fsync(file.fileno())
    drop_unfinished(job.out)
    shutil.rmtree(notes)


def _write_pages(job: Job, path: Path, phase_rad: NDArray[np.float32], frames: range) -> None:
    optics = job.optics
    layout = PageLayout(job.shape, np.dtype(np.float32), optics.object_pixel_m if optics else None)
    file = PageFile(path, layout, ome_text(_manifest(job), "phase", layout, len(frames)))
    for index, image in zip(frames, phase_rad, strict=True):
        file.append(image, json.dumps({"frame": index}).encode())
    file.close()


def _manifest(job: Job) -> Manifest:
    """What a finished OME-TIFF says of itself: the same for every run of the job."""
    return Manifest(
        name=job.out.name,
        started_ns=0,
        layers=["phase"],
        camera={"source": job.address},
        bit_depth=job.bit_depth,
        optics=_optics(job),
        engine={"name": job.engine, "detail": {"carrier": str(job.options.carrier_cycles_per_px)}},
        ended_ns=0,
        state="done",
        sentence=f"Phase of {Path(job.address).name} by {job.engine}.",
    )


def _optics(job: Job) -> dict[str, Any]:
    return asdict(job.optics) if job.optics else {}
