"""The optical numbers that turn pixels into metres and radians into optical path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Optics:
    """An off-axis microscope's imaging side.

    Attributes:
        wavelength_m: vacuum wavelength of the illumination, in metres; None where it is not known.
        pixel_pitch_m: the sensor's pixel pitch, in metres; None where it is not known.
        magnification: lateral magnification from object to sensor (1 where the pitch is already the object's).
        numerical_aperture: the objective's NA; None where it is not known.
        refractive_index: of the medium around the sample; None where it is not known.

    Raises:
        ValueError: a length or the magnification is beyond what microscopes have, the NA is outside 0 … 1.7, or the
            refractive index outside 1 … 3.
    """

    wavelength_m: float | None
    pixel_pitch_m: float | None = None
    magnification: float = 1.0
    numerical_aperture: float | None = None
    refractive_index: float | None = None

    def __post_init__(self) -> None:
        if self.wavelength_m is not None and not 100e-9 <= self.wavelength_m <= 20e-6:
            raise ValueError(
                f"expected a wavelength in metres between 100 nm and 20 µm, got {self.wavelength_m!r}; "
                "532 nm is written 532e-9"
            )
        if self.pixel_pitch_m is not None and not 1e-9 <= self.pixel_pitch_m < 1e-3:
            raise ValueError(f"expected a pixel pitch in metres from 1 nm to below 1 mm, got {self.pixel_pitch_m!r}")
        if not 1e-3 <= self.magnification <= 1e4:
            raise ValueError(f"expected a magnification of 0.001 … 10000, got {self.magnification!r}")
        if self.numerical_aperture is not None and not 0 < self.numerical_aperture <= 1.7:
            raise ValueError(f"expected a numerical aperture in 0 … 1.7, got {self.numerical_aperture!r}")
        if self.refractive_index is not None and not 1 <= self.refractive_index <= 3:
            raise ValueError(f"expected a refractive index of 1 … 3, got {self.refractive_index!r}")

    @property
    def object_pixel_m(self) -> float | None:
        """One pixel's size in the object plane, in metres; None where the pitch is not known."""
        return None if self.pixel_pitch_m is None else self.pixel_pitch_m / self.magnification

    @property
    def band_limit_cycles_per_px(self) -> float | None:
        """The objective's coherent cut-off NA/λ in cycles per pixel (Goodman 2005, §6.2); None if unknown."""
        if self.numerical_aperture is None or self.wavelength_m is None or self.object_pixel_m is None:
            return None
        return self.numerical_aperture / self.wavelength_m * self.object_pixel_m


@dataclass(frozen=True, slots=True)
class StatedOptics:
    """What a user says of the optics, in the units of data sheets: nm and µm. None is not said."""

    wavelength_nm: float | None = None
    pixel_um: float | None = None
    magnification: float | None = None
    na: float | None = None
    refractive_index: float | None = None

    def over(self, known: Optics | None, binning: tuple[int, int] = (1, 1)) -> Optics | None:
        """`known` with what was said in place of its own; None where nothing is said or known.

        Args:
            known: of the frames as they come.
            binning: the sensor's pixels to one of the frame's. The pitch that is said is the sensor's; where the two
                sides differ, no one pitch is the frame's.

        Raises:
            ValueError: see `Optics`.
        """
        if self == StatedOptics():
            return known
        base = known or Optics(None)
        return Optics(
            base.wavelength_m if self.wavelength_nm is None else self.wavelength_nm * 1e-9,
            base.pixel_pitch_m if self.pixel_um is None else _binned(self.pixel_um * 1e-6, binning),
            base.magnification if self.magnification is None else self.magnification,
            base.numerical_aperture if self.na is None else self.na,
            base.refractive_index if self.refractive_index is None else self.refractive_index,
        )


def _binned(pitch_m: float, binning: tuple[int, int]) -> float | None:
    along_y, along_x = binning
    return pitch_m * along_x if along_y == along_x else None
