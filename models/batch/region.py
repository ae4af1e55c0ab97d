"""One task: the phase of a region of consecutive frames. It depends on nothing but the job and the region's number."""

from __future__ import annotations

from threading import Lock
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import Recording, open_recording
from qpi_live.models.analysis.refocus import refocus
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.batch.job import Job, frame_of, open_job_engine
from qpi_live.models.batch.output import FrameNote, write
from qpi_live.models.engine import PhaseEngine, TunableEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame


def run_region(job: Job, number: int) -> float:
    """Invert and write one region; seconds that it took, once the engine was open.

    Where a frame has no phase, that is noted, and it is NaN; so are the pixels that the engine masked.

    Raises:
        ImageFileError: the recording is not there.
        EngineError: the engine cannot be opened here.
        OSError: the output cannot be written.
    """
    recording, engine, buffer = _opened(job)
    began = perf_counter()
    if isinstance(engine, TunableEngine):
        engine.forget_instrument()  # what frames of other regions taught it would depend on who did them
    frames = job.region(number)
    phase_rad = buffer[: len(frames)]
    notes = []
    for place, index in enumerate(frames):
        try:
            made = engine.retrieve(frame_of(job, recording, index))
        except (ImageFileError, InferenceError) as error:
            phase_rad[place] = np.nan
            notes.append(FrameNote(index, failed=str(error)))
            continue
        phase_rad[place] = _focused(job, made)
        if made.mask is not None:
            phase_rad[place][made.mask] = np.nan  # noise stands there: nobody shall measure it
        quality = made.quality
        fringes = None if quality.fringes is None else str(quality.fringes)
        notes.append(FrameNote(index, None, fringes, quality.masked_share, quality.warning))
    write(job, number, phase_rad, notes)
    return perf_counter() - began


def _focused(job: Job, made: PhaseFrame) -> NDArray[np.float32]:
    if not job.focus_um:
        return made.phase_rad
    optics = job.optics
    index = optics.refractive_index if optics else None
    aperture = optics.numerical_aperture if optics else None
    scale = Scale.of(optics)
    return refocus(made.phase_rad, job.focus_um, scale, made.amplitude, made.mask, index, aperture).phase_rad


_Opened = tuple[Recording, PhaseEngine, NDArray[np.float32]]
_kept: dict[Job, _Opened] = {}
_keeping = Lock()  # a cluster's worker may have several threads


def _opened(job: Job) -> _Opened:
    """The recording, the engine and room for a region, kept from one to the next of a job, and closed behind it."""
    with _keeping:
        if job in _kept:
            return _kept[job]
        while _kept:
            recording, engine, _ = _kept.popitem()[1]
            engine.close()
            recording.close()
        recording, engine = open_recording(job.address, job.channel), open_job_engine(job)
        engine.warm_up(job.shape, job.bit_depth)
        _kept[job] = recording, engine, np.empty((job.frames_per_region, *job.shape), np.float32)
        return _kept[job]
