"""What a pixel and a radian are worth: µm, nm of optical path, pg of dry mass."""

from __future__ import annotations

from dataclasses import dataclass
from math import tau

from qpi_live.camera.optics import Optics

LEAST_ALPHA, USUAL_ALPHA, MOST_ALPHA = 0.05, 0.19, 0.5
"""Specific refraction increment in µm³/pg: 0.18 … 0.20 for most proteins, 0.19 in the mean (Barer, Nature 169, 366,
1952; Zhao, Brown & Schuck, Biophys. J. 100, 2309, 2011)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How figures in pixels and rad become physical ones; what is not known stays in pixels and rad.

    Attributes:
        pixel_um: one pixel's edge in the object plane, in µm; None where not known.
        wavelength_um: vacuum wavelength, in µm; None where not known.
        alpha_um3_per_pg: the specific refraction increment α that dry mass is computed with, in µm³/pg (= mL/g).

    Raises:
        ValueError: α is beyond what matter has.
    """

    pixel_um: float | None = None
    wavelength_um: float | None = None
    alpha_um3_per_pg: float = USUAL_ALPHA

    def __post_init__(self) -> None:
        if not LEAST_ALPHA <= self.alpha_um3_per_pg <= MOST_ALPHA:
            raise ValueError(
                f"expected α in µm³/pg of {LEAST_ALPHA} … {MOST_ALPHA} (0.18 … 0.20 for cells), "
                f"got {self.alpha_um3_per_pg!r}"
            )

    @classmethod
    def of(cls, optics: Optics | None, alpha_um3_per_pg: float = USUAL_ALPHA) -> Scale:
        """The scale of frames taken through `optics`."""
        pixel_m = optics.object_pixel_m if optics else None
        wavelength_m = optics.wavelength_m if optics else None
        return cls(pixel_m and pixel_m * 1e6, wavelength_m and wavelength_m * 1e6, alpha_um3_per_pg)

    @property
    def nm_per_rad(self) -> float | None:
        """Optical path difference of a radian, λ/2π, in nm."""
        return None if self.wavelength_um is None else self.wavelength_um * 1e3 / tau

    @property
    def um2_per_px(self) -> float | None:
        """Area of a pixel, in µm²."""
        return None if self.pixel_um is None else self.pixel_um**2

    @property
    def fl_per_rad_px(self) -> float | None:
        """Optical volume λ/2π · ΔA of one pixel with a phase of one radian, in fL (= µm³)."""
        if self.wavelength_um is None or self.pixel_um is None:
            return None
        return self.wavelength_um / tau * self.pixel_um**2

    @property
    def pg_per_rad_px(self) -> float | None:
        """Dry mass of one pixel with a phase of one radian, in pg: m = λ/(2πα) · ΔA · Σφ (Barer 1952)."""
        volume_fl = self.fl_per_rad_px
        return None if volume_fl is None else volume_fl / self.alpha_um3_per_pg

    @property
    def missing(self) -> tuple[str, ...]:
        """What must be said of the optics before every figure has its unit, in words."""
        wanted = (("wavelength", self.wavelength_um), ("pixel size", self.pixel_um))
        return tuple(name for name, value in wanted if value is None)
