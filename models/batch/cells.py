"""The cells of a recording whose phase was made: a table of all frames, their tracks, where they are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.files.writers.layer_names import ARRAY, part_name
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.analysis.cells import CELL_COLUMNS, measure_cells
from qpi_live.models.analysis.label_image import numbered
from qpi_live.models.analysis.regions import Role, union
from qpi_live.models.analysis.scale import USUAL_ALPHA, Scale
from qpi_live.models.analysis.segmentation import CellSettings
from qpi_live.models.analysis.tables import plain, trackmate_xml
from qpi_live.models.analysis.tracking import Tracker
from qpi_live.models.batch.job import Job
from qpi_live.models.batch.labels import write_labels
from qpi_live.models.batch.output import ZARR

TABLE, TRACKS = "cells.csv", "tracks.xml"


def measure_job(
    job: Job,
    alpha_um3_per_pg: float = USUAL_ALPHA,
    settings: CellSettings | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Measure the cells of all frames of a finished job, in order, and write table, tracks and label image into its
    output. How many rows the table has.

    The table has a row for each cell and frame. In it are the frame's number, its own time in s since the first, the
    cell's id, and `CELL_COLUMNS`. A time that is not known is empty. Frames without a phase have no rows; ids go on
    after them.

    Raises:
        ImageFileError: the recording is not there any more.
        OSError: the output cannot be read or written.
    """
    scale, tracker = Scale.of(job.optics, alpha_um3_per_pg), Tracker()
    times_s, ground = times_of(job), union(job.regions_drawn, Role.BACKGROUND, job.shape)
    rows = 0
    with whole_file(job.out / TABLE) as path, path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")

        def labels() -> Iterator[NDArray[np.uint32]]:
            nonlocal rows
            for index, phase_rad in enumerate(phases(job)):
                seen = np.isfinite(phase_rad)
                if not seen.any():
                    yield np.zeros(job.shape, np.uint32)
                    advance(1)
                    continue
                whole = np.where(seen, phase_rad, np.float32(0))
                cells = measure_cells(whole, None if seen.all() else ~seen, scale, settings, ground)
                time_s = None if times_s is None else times_s[index]
                ids = tracker.update(cells, index if time_s is None else time_s, index)
                names = [name for name in CELL_COLUMNS if name in cells.columns]
                if file.tell() == 0:
                    writer.writerow(["frame", "time_s", "id", *names])
                for row in zip(ids, *(cells.columns[name] for name in names), strict=True):
                    writer.writerow([index, plain(time_s), *(plain(value) for value in row)])
                rows += len(cells)
                yield numbered(cells.segmentation.labels, ids).astype(np.uint32)
                advance(1)

        write_labels(job, labels())
    with whole_file(job.out / TRACKS) as path:
        tracks = trackmate_xml([*tracker.ended, *tracker.tracks], tracker.events, scale, times_s is not None)
        path.write_text(tracks, encoding="utf-8")
    return rows


def times_of(job: Job) -> list[float] | None:
    """When each frame was taken, in s since the first; None unless it is known of all.

    Raises:
        ImageFileError: the recording is not there.
    """
    recording = open_recording(job.address, job.channel)
    try:
        known = [time_s for time_s in map(recording.time_s, range(job.frames)) if time_s is not None]
    finally:
        recording.close()
    return [time_s - known[0] for time_s in known] if len(known) == job.frames else None


def phases(job: Job) -> Iterator[NDArray[np.float32]]:
    """The phase of each frame, (H, W) float32 in rad, NaN where there is none."""
    if job.kind == ZARR:
        array = zarr.open_array(store=job.out, path=ARRAY, mode="r")
        for number in range(job.regions):
            frames = job.region(number)  # a shard at a time
            yield from np.asarray(array[frames.start : frames.stop], np.float32)
        return
    for number in range(job.regions):
        part: Path = job.out / part_name("phase", number)
        for phase in np.asarray(tifffile.imread(part), np.float32).reshape(-1, *job.shape):
            yield np.ascontiguousarray(phase)
