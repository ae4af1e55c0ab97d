"""Which sideband each camera's phase is taken from, once the frames have told."""

from __future__ import annotations

from collections.abc import Mapping

from qpi_live.models.classical.carrier import Carrier

_SAME_WAY = 0.5  # cosine between two carriers above which the one can have moved to the other


class Signs:
    """The sidebands in which the cells of each camera come out positive, as far as they are known.

    Between the carrier and its conjugate no interferogram can tell, but an instrument that is realigned moves its
    carrier rather than turn it round. So a sign that was decided once stays, whenever the carrier is found again.
    """

    def __init__(self) -> None:
        self._decided: dict[str, Carrier] = {}

    def orient(self, camera: str, carrier: Carrier) -> Carrier | None:
        """The carrier or its conjugate, whichever has the sign that was decided for `camera`; None: not yet decided."""
        before = self._decided.get(camera)
        if before is None:
            return None
        cosine = (before.fy * carrier.fy + before.fx * carrier.fx) / (before.frequency * carrier.frequency)
        if abs(cosine) < _SAME_WAY:
            return None
        return carrier if cosine > 0 else carrier.conjugate()

    def decide(self, camera: str, carrier: Carrier) -> None:
        """Keep the sign of `carrier` for `camera`."""
        self._decided[camera] = carrier

    @property
    def decided(self) -> Mapping[str, tuple[float, float]]:
        """See `SignedEngine.decided_signs`."""
        return {camera: (carrier.fy, carrier.fx) for camera, carrier in self._decided.items()}

    def take(self, decided: Mapping[str, tuple[float, float]]) -> None:
        """See `SignedEngine.take_signs`."""
        for camera, carrier in decided.items():
            self._decided.setdefault(camera, Carrier(*carrier))

    def forget(self) -> None:
        """Nothing is decided any more."""
        self._decided.clear()
