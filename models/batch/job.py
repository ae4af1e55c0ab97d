"""What is to be made of one recording, such that every worker makes the same of it, in whatever order."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import Recording, is_bundled, open_recording, split_address
from qpi_live.camera.files.writers.manifest import CALIBRATION, is_recording
from qpi_live.camera.files.writers.ome_zarr import shard_frames
from qpi_live.camera.frame import Frame, as_pixels
from qpi_live.camera.optics import Optics
from qpi_live.models.analysis.refocus import Propagator
from qpi_live.models.analysis.regions import Region, with_regions
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.engine import EngineOptions, PhaseEngine, TunableEngine, open_engine
from qpi_live.models.errors import EngineError, EngineUnavailable, InferenceError

_PROBED_FRAMES = 32  # looked at, spread over the recording, until cells have told the phase's sign


@dataclass(frozen=True, slots=True)
class Job:
    """One recording, and how it is inverted. It travels to other processes and machines.

    Attributes:
        address: of the recording, for `open_recording`, absolute; every worker reads it there.
        channel: see `open_recording`.
        out: the folder that is written, absolute; every worker writes there.
        kind: `ome-zarr` or `ome-tiff`.
        engine: its name, or a network's file.
        options: what the engine is asked for; the carrier, once found, is stated, and with it the phase's sign.
        frames: how many there are.
        shape: (H, W) of each.
        bit_depth: of their grey values.
        frame_rate_hz: None where it is not known.
        frames_per_region: how many of them one task inverts; a shard of the OME-Zarr, a file of the OME-TIFF.
        focus_um: by how much the focal plane is moved along the light afterwards.
        regions_drawn: what a person drew on the frames, see `with_regions`.
    """

    address: str
    channel: str
    out: Path
    kind: str
    engine: str
    options: EngineOptions
    frames: int
    shape: tuple[int, int]
    bit_depth: int
    frame_rate_hz: float | None
    frames_per_region: int
    focus_um: float = 0.0
    regions_drawn: tuple[Region, ...] = ()

    @property
    def regions(self) -> int:
        """How many tasks there are."""
        return -(-self.frames // self.frames_per_region)

    def region(self, number: int) -> range:
        """The frames of a task."""
        begin = number * self.frames_per_region
        return range(begin, min(begin + self.frames_per_region, self.frames))

    @property
    def optics(self) -> Optics | None:
        """The recording's."""
        return self.options.optics

    def described(self) -> dict[str, Any]:
        """What makes two jobs the same: what they make, and of what."""
        known = asdict(self)
        known["out"] = self.out.name
        known["options"]["sideband"] = str(self.options.sideband)
        if not self.regions_drawn:
            del known["regions_drawn"]
        return known


def make_job(
    address: str,
    channel: str,
    out: Path,
    kind: str,
    engine: str,
    options: EngineOptions,
    focus_um: float = 0.0,
    regions: tuple[Region, ...] = (),
) -> Job:
    """The job for a recording: its first frames tell the carrier and the phase's sign.

    Raises:
        ImageFileError: there is no such recording.
        EngineError: there is no such engine, or it takes no such frames.
        ValueError: the optics are not known well enough to refocus.
    """
    address, out = _absolute(address), out.expanduser().absolute()  # workers may stand in other folders
    recording = open_recording(address, channel)
    try:
        optics = recording.optics if options.optics is None else options.optics
        job = Job(
            address,
            channel,
            out,
            kind,
            engine,
            replace(options, optics=optics, threads=1),
            recording.frames,
            recording.shape,
            recording.bit_depth,
            recording.frame_rate_hz,
            shard_frames(recording.shape, np.dtype(np.float32)),
            focus_um,
            regions,
        )
        if focus_um:
            Propagator(np.ones((8, 8), np.complex64), Scale.of(optics))  # refuses what cannot be refocused
        return job if options.carrier_cycles_per_px else replace(job, options=_found(job, recording))
    finally:
        recording.close()


def _absolute(address: str) -> str:
    if is_bundled(address):
        return address
    path, name = split_address(address)
    return f"{path.absolute()}::{name}" if name else str(path.absolute())


def _found(job: Job, recording: Recording) -> EngineOptions:
    """The options with the carrier that the frames have, on the side on which cells come out positive."""
    engine = open_job_engine(job)
    try:
        engine.warm_up(job.shape, job.bit_depth)
        carrier = None
        for index in dict.fromkeys(np.linspace(0, job.frames - 1, _PROBED_FRAMES).astype(int).tolist()):
            with suppress(ImageFileError, InferenceError):
                detail = engine.retrieve(frame_of(job, recording, index)).engine.detail
                fy, fx = detail.get("carrier_fy_cycles_per_px"), detail.get("carrier_fx_cycles_per_px")
                if not isinstance(fy, float) or not isinstance(fx, float):
                    return job.options  # this engine has none
                carrier = fy, fx
                if detail.get("is_sign_known", True):
                    break
        return replace(job.options, carrier_cycles_per_px=carrier)
    finally:
        engine.close()


def open_job_engine(job: Job) -> PhaseEngine:
    """The job's engine, with the calibration frame that lies beside the recording, where there is one.

    Raises:
        EngineError: it cannot be opened here.
    """
    engine = open_engine(job.engine, job.options, may_be_file=True)
    folder, _ = split_address(job.address)
    if is_recording(folder) and (folder / CALIBRATION).is_file() and isinstance(engine, TunableEngine):
        pixels = as_pixels(tifffile.imread(folder / CALIBRATION), job.bit_depth)
        try:
            engine.use_calibration(Frame.untimed(pixels, job.bit_depth), force=True)
        except (ValueError, EngineError) as error:
            raise EngineUnavailable(f"{CALIBRATION} of {folder.name} cannot be used: {error}") from error
    return engine


def frame_of(job: Job, recording: Recording, index: int) -> Frame:
    """A frame of the recording; raises `ImageFileError` where it cannot be read."""
    image = recording.read(index)
    if image.pixels.shape != job.shape:
        raise ImageFileError(f"expected a frame of {job.shape}, got one of {image.pixels.shape}")
    pixels = as_pixels(image.pixels, max(job.bit_depth, image.bit_depth))
    period_ns = round(1e9 / job.frame_rate_hz) if job.frame_rate_hz else 1
    frame = Frame(
        pixels,
        max(job.bit_depth, image.bit_depth),
        index,
        index * period_ns,
        index * period_ns,
        source=job.address,
        optics=job.optics,
        missing=image.missing,
    )
    return with_regions(frame, job.regions_drawn)
