"""Archives: the phase of whole recordings, by as many workers as there are; an interrupted run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qpi_live.camera.files.recording import split_address
from qpi_live.models.analysis.regions import Region
from qpi_live.models.batch import output
from qpi_live.models.batch.job import Job, make_job
from qpi_live.models.batch.workers import Workers
from qpi_live.models.engine import EngineOptions

_ENDINGS = {output.ZARR: ".ome.zarr", output.TIFF: " phase"}


@dataclass(slots=True)
class Summary:
    """What became of an archive.

    Attributes:
        frames: that have a phase now, those of earlier runs included.
        made: in this run.
        worker_s: seconds that the workers took for them, together.
        without_phase: frames that could not be inverted or read, by recording and number, and why.
        failed: regions that no try could make, and why; run it again to retry them.
    """

    frames: int = 0
    made: int = 0
    worker_s: float = 0.0
    without_phase: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def plan(
    addresses: Sequence[str],
    out: Path,
    engine: str,
    options: EngineOptions,
    kind: str = output.ZARR,
    channel: str = "",
    focus_um: float = 0.0,
    regions: tuple[Region, ...] = (),
) -> list[Job]:
    """One job for each recording, its output ready in the folder `out`.

    Raises:
        ValueError: two recordings have one name, or something else is where an output should be.
        ImageFileError: there is no such recording.
        EngineError: there is no such engine, or it takes no such frames.
    """
    names = [split_address(address)[0].name.partition(".")[0] + _ENDINGS[kind] for address in addresses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"expected recordings of different names, got {', '.join(twice)} twice; process them apart")
    jobs = [
        make_job(address, channel, out / name, kind, engine, options, focus_um, regions)
        for address, name in zip(addresses, names, strict=True)
    ]
    for job in jobs:
        output.prepare(job)
    return jobs


def process(jobs: Sequence[Job], workers: Workers, advance: Callable[[int], None] = lambda _: None) -> Summary:
    """Have all regions made that are not there yet; `advance` is called with the frames of each that is.

    What fails is listed, and keeps nothing else from being made.

    Raises:
        OSError: an output cannot be closed.
    """
    summary = Summary()
    tasks = []
    for job in jobs:
        there = output.done(job)
        for number in range(job.regions):
            if number in there:
                advance(len(job.region(number)))
            else:
                tasks.append((job, number))
    lacking: set[Path] = set()
    for outcome in workers.run(tasks):
        frames = outcome.job.region(outcome.number)
        if outcome.failed is None:
            summary.made += len(frames)
            summary.worker_s += outcome.took_s
        else:
            lacking.add(outcome.job.out)
            summary.failed.append(f"{outcome.job.out.name}, frames {frames.start} … {frames[-1]}: {outcome.failed}")
        advance(len(frames))
    for job in jobs:
        if job.out not in lacking:
            output.close(job)
        notes = output.notes_of(job)
        summary.frames += sum(note.failed is None for note in notes)
        summary.without_phase += [f"{job.out.name}, frame {one.frame}: {one.failed}" for one in notes if one.failed]
    return summary
