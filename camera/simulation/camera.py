"""A camera that looks at simulated cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from time import monotonic_ns, time_ns

from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.pace import Pace
from qpi_live.camera.simulation.conditions import CONDITIONS, example_of
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.simulation.interferogram import ForwardModel
from qpi_live.camera.simulation.scene import LOOP_FRAMES, Scene
from qpi_live.camera.simulation.specimen import Specimen
from qpi_live.camera.source import Camera, CameraIdentity, CameraOptions

DEFAULT_RATE_HZ = 30.0
_LOOP_BYTES = 2**28  # what a loop of frames may take in memory
_SHORTEST_LOOP = 8
_MEASURED = {"glioblastoma": Path(str(files("qpi_live.camera") / "data" / "glioblastoma.json"))}


class SimulatedCamera:
    """Sends a loop of simulated frames with known truth.

    A frame takes about 0.1 s of one core to simulate, more than a live stream leaves. So each of the loop's frames
    is rendered when it is first read, and kept. The first turn of the loop is slower than the frame rate (some 7 s at
    1024²); from then on a frame costs nothing. The cells' motion closes on itself, so the loop
    has no seam; its noise repeats with it. Large frames get a shorter loop, to stay within 256 MiB.
    """

    def __init__(self, source: str, scene: Scene, frame_rate_hz: float) -> None:
        if not 0 <= frame_rate_hz <= 10_000:
            raise CameraUnavailable(f"expected a frame rate in Hz of 0 … 10000, got {frame_rate_hz}")
        self._scene = scene
        self._rate_hz = frame_rate_hz
        self._loop: dict[int, Pixels] = {}
        self._sequence = 0
        self._pace: Pace | None = None
        instrument = scene.model.instrument
        self._identity = CameraIdentity(
            source=source,
            vendor="qpi-live",
            model=f"simulated microscope {instrument.name}".rstrip(),
            serial=f"seed {scene.seed}",
            shape=instrument.shape,
            bit_depth=instrument.sensor.bit_depth,
            frame_rate_hz=frame_rate_hz or None,
            optics=instrument.optics,
        )

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> Camera:
        """The simulation of a condition (`nominal` unless named), of a measured instrument or of an instrument file.

        Raises:
            CameraUnavailable: no such condition, no such file, or impossible options.
        """
        try:
            instrument, specimen = _instrument_and_specimen(address or "nominal")
            instrument = replace(
                instrument,
                shape=options.shape or instrument.shape,
                optics=options.optics.over(instrument.optics) or instrument.optics,
            )
            frame_bytes = instrument.shape[0] * instrument.shape[1] * (1 if instrument.sensor.bit_depth == 8 else 2)
            loop_frames = max(_SHORTEST_LOOP, min(LOOP_FRAMES, _LOOP_BYTES // frame_bytes))
            scene = Scene(ForwardModel(instrument), specimen, options.seed, loop_frames)
        except ValueError as error:
            raise CameraUnavailable(str(error)) from error
        rate_hz = DEFAULT_RATE_HZ if options.frame_rate_hz is None else options.frame_rate_hz
        return cls(f"simulated:{address}" if address else "simulated", scene, rate_hz)

    @property
    def identity(self) -> CameraIdentity:
        """See `Camera.identity`."""
        return self._identity

    @property
    def waits_for_consumer(self) -> bool:
        """True at frame rate 0."""
        return self._rate_hz == 0

    def start(self) -> None:
        """See `Camera.start`."""
        self._pace = Pace(self._rate_hz)

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`; a frame that is still to be rendered may come later than `timeout_s`."""
        if self._pace is None:
            raise CameraUnavailable("expected a camera that was started, got one that was not; call start()")
        index = self._sequence % self._scene.loop_frames
        pixels = self._loop.get(index)
        if pixels is None:
            pixels = self._loop[index] = self._scene.pixels(index)
        self._pace.wait(timeout_s)
        frame = Frame(
            pixels,
            self._identity.bit_depth,
            self._sequence,
            time_ns(),
            monotonic_ns(),
            true_phase_rad=partial(self._scene.true_phase_rad, index),
        )
        self._sequence += 1
        return frame

    def take_losses(self) -> Mapping[str, int]:
        """See `Camera.take_losses`; a simulation loses nothing."""
        return {}

    def stop(self) -> None:
        """See `Camera.stop`. The count of frames goes on where it was when `start` follows."""
        self._pace = None


def _instrument_and_specimen(address: str) -> tuple[Instrument, Specimen]:
    if address in CONDITIONS:
        return example_of(address)
    path = _MEASURED.get(address) or Path(address).expanduser()
    if path.suffix.lower() != ".json":
        raise ValueError(
            f"expected a condition among {', '.join(CONDITIONS)}, an instrument among {', '.join(_MEASURED)} or an "
            f"instrument file (.json), got {address!r}"
        )
    return Instrument.from_file(path), CONDITIONS["nominal"].shown
