"""An off-axis microscope as numbers: its optics, fringes, beam, aberration, sensor and speckle, and their file."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import hypot
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from qpi_live.camera.frame import Pixels
from qpi_live.camera.optics import Optics

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


def _expect(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"expected {name} in {lowest:g} … {highest:g}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Fringes:
    """The interference of the two beams.

    Attributes:
        carrier_cycles_per_px: (fy, fx), signed, any direction, |fy| and |fx| below 0.5 (Nyquist).
        contrast: γ, the fringes' visibility where the object is clear, 0 … 1.
    """

    carrier_cycles_per_px: tuple[float, float] = (0.22, 0.24)
    contrast: float = 0.8
    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        for frequency in self.carrier_cycles_per_px:
            _expect("a carrier in cycles per pixel", frequency, -0.5, 0.5)
        _expect("a fringe contrast", self.contrast, 0.0, 1.0)

    @property
    def period_px(self) -> float:
        """Distance from fringe to fringe, in pixels."""
        frequency = hypot(*self.carrier_cycles_per_px)
        return 1 / frequency if frequency else float("inf")


@dataclass(frozen=True, slots=True)
class Beam:
    """The illumination's Gaussian envelope E = level · exp(−2 d²/w²).

    Attributes:
        level: mean grey value at the envelope's centre, as a part of full scale.
        centre: (y, x) of the envelope's centre, as parts of the frame's height and width.
        radius: w, the 1/e² radius of the intensity, in half diagonals of the frame.
    """

    level: float = 0.5
    centre: tuple[float, float] = (0.5, 0.5)
    radius: float = 2.0
    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _expect("a beam level as a part of full scale", self.level, 0.0, 1.0)
        _expect("a beam radius in half diagonals", self.radius, 0.05, 1e6)


@dataclass(frozen=True, slots=True)
class Aberration:
    """The smooth phase A between the beams, as Noll–Zernike coefficients in rad (see `camera.simulation.zernike`).

    A(t) = Σ noll_rad[j − 1] Z_j + sin(2πt) Σ drift_noll_rad[j − 1] Z_j, where t counts turns of the loop of motion. So
    the drift closes on itself as the motion does. Index 0 is the piston (j = 1).
    """

    noll_rad: tuple[float, ...] = ()
    drift_noll_rad: tuple[float, ...] = ()
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Sensor:
    """What turns light into grey values.

    Attributes:
        bit_depth: 8 … 16; 8 gives uint8 pixels, more gives uint16.
        full_well_e: electrons at full scale; they set the shot noise.
        read_noise_e: RMS of the read-out's noise, in electrons.
        black_level: grey value of darkness.
    """

    bit_depth: int = 8
    full_well_e: float = 10_000.0
    read_noise_e: float = 8.0
    black_level: float = 2.0
    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _expect("a bit depth", self.bit_depth, 8, 16)
        _expect("a full well in electrons", self.full_well_e, 100, 1e9)
        _expect("a read noise in electrons", self.read_noise_e, 0, self.full_well_e)
        _expect("a black level in grey values", self.black_level, 0, self.full_scale / 2)

    @property
    def full_scale(self) -> int:
        """The largest grey value."""
        return int(2**self.bit_depth - 1)

    def expose(self, intensity: NDArray[np.float32], rng: Generator | None) -> Pixels:
        """Grey values of a light distribution.

        Args:
            intensity: (H, W) float32, parts of full scale; it is overwritten.
            rng: source of shot and read noise; None gives the noiseless frame, still quantised.

        Returns:
            (H, W) uint8 or uint16, C-contiguous, never above `full_scale`.

        Shot noise is drawn as a normal of the Poisson's variance, which is several times faster. At the thousands of
        electrons of a well-lit pixel the two are alike.
        """
        if rng is not None:
            noise = rng.standard_normal(intensity.shape, np.float32)
            variance = np.maximum(intensity, 0) / np.float32(self.full_well_e)
            variance += np.float32((self.read_noise_e / self.full_well_e) ** 2)
            noise *= np.sqrt(variance, out=variance)
            intensity += noise
        intensity *= np.float32(self.full_scale - self.black_level)
        intensity += np.float32(self.black_level)
        np.clip(np.rint(intensity, out=intensity), 0, self.full_scale, out=intensity)
        return intensity.astype(np.uint8) if self.bit_depth == 8 else intensity.astype(np.uint16)


@dataclass(frozen=True, slots=True)
class Speckle:
    """Coherent scatter added to the object field: circular Gaussian, filtered by the pupil (Goodman 2007, §2.2).

    Attributes:
        strength: RMS of the scattered field over the undisturbed object field.
        static_share: part of its power that stays the same in every frame, the calibration frame included: dust and
            roughness in the optics. The rest is new in each frame: moving scatterers.
        seed: of the static part.
    """

    strength: float = 0.1
    static_share: float = 0.5
    seed: int = 0
    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _expect("a speckle strength", self.strength, 0, 10)
        _expect("a static share", self.static_share, 0, 1)


@dataclass(frozen=True, slots=True)
class Instrument:
    """Everything that is known of an off-axis microscope, as numbers that a JSON file holds.

    Lengths that could scale with the frame do (beam, aberration), so `dataclasses.replace(instrument, shape=…)` is
    the same microscope with another sensor format.
    """

    shape: tuple[int, int] = (1024, 1024)
    optics: Optics = field(default_factory=lambda: Optics(532e-9, 3.45e-6, 40, 0.65))
    fringes: Fringes = field(default_factory=Fringes)
    beam: Beam = field(default_factory=Beam)
    aberration: Aberration = field(default_factory=Aberration)
    sensor: Sensor = field(default_factory=Sensor)
    speckle: Speckle | None = None
    name: str = ""
    defocus_m: float = 0.0  # how far along the light the focal plane lies behind the specimen, in the medium
    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        for edge in self.shape:
            _expect("a frame's edge in pixels", edge, 16, 16384)
        _expect("a defocus in metres", self.defocus_m, -1e-3, 1e-3)
        if self.defocus_m and self.optics.band_limit_cycles_per_px is None:
            raise ValueError("expected wavelength, pixel pitch and NA beside a defocus, got optics without one of them")

    def to_json(self) -> str:
        """The instrument file's text."""
        return _INSTRUMENT.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Instrument:
        """The instrument that an instrument file's text describes; what it leaves out has the default value.

        Raises:
            ValueError: the text is no JSON, or names an unknown or impossible quantity.
        """
        try:
            return _INSTRUMENT.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            why = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"expected an instrument file, got one where {where} is wrong: {why}") from error

    @classmethod
    def from_file(cls, path: Path) -> Instrument:
        """The instrument in the JSON file `path`.

        Raises:
            ValueError: it cannot be read or is no instrument file.
        """
        try:
            return cls.from_json(path.read_bytes())
        except OSError as error:
            raise ValueError(f"expected a readable instrument file at {path}, got: {error.strerror}") from error


_INSTRUMENT = TypeAdapter(Instrument)
