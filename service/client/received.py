"""What the client gets from the service: a frame, or a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qpi_live.service.wire import FrameHeader


class ServiceError(RuntimeError):
    """The service refused a request or cannot be reached; the text is its own sentence. `status` is None then."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedFrame:
    """One frame as it came from the service.

    Attributes:
        header: everything that is known of it.
        payload: (H, W) as sent, read-only: float32 for exact phase in rad, uint8 or uint16 for an exact interferogram,
            uint8 for a preview.
    """

    header: FrameHeader
    payload: NDArray[Any]

    @property
    def sequence(self) -> int:
        """The stream's count of frames read from the camera."""
        return self.header.sequence

    @property
    def unit(self) -> str:
        """The unit of `values`: `rad` or `grey value`."""
        return self.header.unit

    @property
    def values(self) -> NDArray[Any]:
        """(H, W) in `unit`: the payload itself where it is exact, float32 from scale and offset for a preview."""
        scale, offset = self.header.scale, self.header.offset
        if (scale, offset) == (1.0, 0.0):
            return self.payload
        values: NDArray[np.float32] = self.payload * np.float32(scale) + np.float32(offset)
        return values

    @property
    def captured(self) -> datetime:
        """When the frame reached the service, UTC, to the microsecond; `header.captured_ns` is exact."""
        seconds, rest_ns = divmod(self.header.captured_ns, 10**9)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)

    def opd_m(self) -> NDArray[np.float32]:
        """(H, W) float32 optical path difference φ·λ/2π in metres.

        Raises:
            ValueError: the values are no phase, or the wavelength is not known.
        """
        if self.unit != "rad" or self.header.wavelength_m is None:
            raise ValueError(f"expected phase and a known wavelength, got {self.unit} and {self.header.wavelength_m}")
        opd: NDArray[np.float32] = (self.values * (self.header.wavelength_m / (2 * np.pi))).astype(np.float32)
        return opd


def refused(status: int, body: bytes) -> ServiceError:
    """The service's own sentence, where it gave one."""
    try:
        sentence = str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        sentence = f"the service answered {status}"
    return ServiceError(sentence, status)
