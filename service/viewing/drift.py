"""The alarm for a network whose instrument or sample is no more what it was judged on."""

from __future__ import annotations

from dataclasses import dataclass

from qpi_live.models.artifacts.promotions import Figures

_LEAST_FRAMES = 10
# Raised and cleared at so many times the largest difference that the gate saw: apart, so that it does not flicker, and
# wider where the gate had no frames of this microscope, which differ more than simulated ones.
_LIMITS = {"recorded": (1.5, 1.2), "simulated": (3.0, 2.4)}


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether a network differs from the classical phase by more than the gate saw.

    Attributes:
        is_drifting: the alarm.
        expected_rad: RMS difference of the gate's median frame.
        largest_expected_rad: of its worst one.
        sentence: for the user at the screen; None without an alarm.
    """

    is_drifting: bool
    expected_rad: float
    largest_expected_rad: float
    sentence: str | None = None


class DriftAlarm:
    """Raised above one limit and cleared below a lower one; where the gate measured nothing it says nothing."""

    def __init__(self) -> None:
        self.now: Drift | None = None

    def see(self, difference_rad: float | None, frames: int, figures: Figures | None) -> None:
        """Look at the mean RMS difference of the newest `frames`, beside what the gate measured of this network."""
        if figures is None or figures.difference_rad is None or figures.largest_difference_rad is None:
            self.now = None
            return
        expected_rad, largest_rad = figures.difference_rad, figures.largest_difference_rad
        raised, cleared = _LIMITS[figures.seen_on]
        was_raised = self.now is not None and self.now.is_drifting
        limit_rad = (cleared if was_raised else raised) * largest_rad
        if difference_rad is None or frames < _LEAST_FRAMES or difference_rad <= limit_rad:
            self.now = Drift(False, expected_rad, largest_rad)
            return
        self.now = Drift(
            True,
            expected_rad,
            largest_rad,
            f"Network and classical phase differ by {difference_rad:.2f} rad; on {figures.seen_on} frames, when it was "
            f"promoted, by {expected_rad:.2f} rad, at most {largest_rad:.2f}. Instrument or sample have changed: "
            "switch to goldstein, or adapt the network (`qpi adapt`).",
        )
