"""One interferogram as a camera delivered it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Device, DeviceMemory, Event
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.optics import Optics

SENSOR_WINDOW = (
    "OffsetX",
    "OffsetY",
    "BinningHorizontal",
    "BinningVertical",
    "DecimationHorizontal",
    "DecimationVertical",
    "ReverseX",
    "ReverseY",
)
"""GenICam features that change what of the sensor a frame shows."""
StreamKey = tuple[str, tuple[int, int], int, Optics | None]
"""Source, (H, W), bit depth and optics of a frame."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def dtype_for(bit_depth: int) -> type[np.uint8] | type[np.uint16]:
    """The type that grey values of so many bits are kept in, everywhere: uint8 up to 8 bits, uint16 above."""
    return np.uint8 if bit_depth <= 8 else np.uint16


def as_pixels(values: NDArray[np.generic], bit_depth: int) -> Pixels:
    """A C-contiguous copy of grey values, which must fit `bit_depth`, in the type that follows from it."""
    return values.astype(np.uint8, order="C") if bit_depth <= 8 else values.astype(np.uint16, order="C")


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class OnDevice:
    """A frame's pixels on a device. They stay there as long as somebody holds this object, and no longer.

    Attributes:
        device: where. Memory of one device means nothing to another, nor to the same one opened again.
        memory: the pixels, as they are on the host; there may be more bytes behind them.
        began: passed once the upload has begun.
        ready: passed once the pixels are there; whoever reads them waits for it (`Stream.wait_for`).
    """

    device: Device
    memory: DeviceMemory
    began: Event
    ready: Event


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One interferogram, owned by whoever holds it and never written again.

    Attributes:
        pixels: (H, W) uint8 or uint16 grey values on the host, C-contiguous and read-only. It never aliases a
            driver's buffer. Its type follows from `bit_depth` (`dtype_for`): 8 bits that came as uint16 are copied.
        bit_depth: significant bits of a grey value (8, 10, 12, …); full scale is 2**bit_depth − 1.
        sequence: the stream's own count of frames read from the camera, from 0, without gaps.
        captured_ns: when the frame reached this program, in ns of Unix time (UTC). For people and files.
        captured_monotonic_ns: the same instant on the monotonic clock. For latencies.
        device_id: the camera's own frame id, where it has one.
        device_timestamp_ns: the camera's own time stamp, in ns of the camera's clock, where it has one.
        settings: exposure, gain and so on that were in force for this frame, as well as the driver can tell; None where
            the camera has none. Frames share it; nobody writes to it.
        source: which camera it came from, where one stream has several; frames of one share the carrier.
        optics: what it was taken through; None where nothing is known of that.
        epoch: which series of frames it belongs to. It grows whenever the camera is opened anew, another one is chosen,
            or frames change their size, depth or window on the sensor: frames of different epochs are no series.
        origin_px: (y, x) of its first pixel on a larger recording; None where it is no part of one.
        missing: (H, W) bool, read-only, True on pixels that show nothing, which no phase can be made of; None: nowhere.
            `pixels` has a harmless grey value there.
        ground: (H, W) bool, True where a person says that there is no sample, for engines that fit a background; None:
            nowhere.
        true_phase_rad: computes the phase it was made from, (H, W) float32 in rad, where it was simulated.
        on_device: the same pixels on a compute device, where a queue has put them there. Who works on another device,
            or on none, takes `pixels`.
    """

    pixels: Pixels
    bit_depth: int
    sequence: int
    captured_ns: int
    captured_monotonic_ns: int
    device_id: int | None = None
    device_timestamp_ns: int | None = None
    settings: Mapping[str, FeatureValue] | None = None
    source: str = ""
    optics: Optics | None = None
    epoch: int = 0
    origin_px: tuple[int, int] | None = None
    missing: NDArray[np.bool_] | None = None
    ground: NDArray[np.bool_] | None = None
    true_phase_rad: Callable[[], NDArray[np.float32]] | None = None
    on_device: OnDevice | None = None

    @classmethod
    def untimed(cls, pixels: Pixels, bit_depth: int) -> Frame:
        """A frame of no stream, such as a calibration frame: its number and its times are 0."""
        return cls(pixels, bit_depth, 0, 0, 0)

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"expected a 2-D interferogram of uint8 or uint16, got shape {pixels.shape} of {pixels.dtype}"
            )
        if not 1 <= self.bit_depth <= 8 * pixels.dtype.itemsize:
            raise ValueError(f"expected a bit depth that {pixels.dtype} can hold, got {self.bit_depth}")
        if pixels.dtype != dtype_for(self.bit_depth):
            if pixels.size and int(pixels.max()) > 255:
                raise ValueError(f"expected grey values of {self.bit_depth} bits, got {int(pixels.max())}")
            pixels = pixels.astype(np.uint8)
            object.__setattr__(self, "pixels", pixels)
        if not pixels.flags.c_contiguous:
            raise ValueError("expected C-contiguous pixels; copy them out of the driver's buffer first")
        pixels.flags.writeable = False
        for name, mask in (("missing pixels", self.missing), ("ground", self.ground)):
            if mask is None:
                continue
            if mask.dtype != np.bool_ or mask.shape != pixels.shape:
                raise ValueError(
                    f"expected {name} as booleans of the frame's shape {pixels.shape}, got {mask.dtype} of {mask.shape}"
                )
            mask.flags.writeable = False

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.pixels.shape
        return height, width

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return int(self.pixels.nbytes)

    @property
    def sensor_window(self) -> dict[str, FeatureValue]:
        """Those of `settings` that say which part of the sensor it shows, and how: offsets, binning, mirroring."""
        return {name: self.settings[name] for name in SENSOR_WINDOW if name in self.settings} if self.settings else {}

    @property
    def stream(self) -> StreamKey:
        """What frames of one stream share: what was learned from one of them, its carrier say, holds for all."""
        return self.source, self.shape, self.bit_depth, self.optics
