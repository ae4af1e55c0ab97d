"""A camera that replays a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sin, tau
from time import monotonic_ns, time_ns

import numpy as np
from qpi_live.camera.errors import CameraLost, CameraUnavailable
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import GreyImage
from qpi_live.camera.files.recording import Recording, open_recording
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.pace import Pace
from qpi_live.camera.source import Camera, CameraIdentity, CameraOptions

DEFAULT_RATE_HZ = 20.0
_STAGE_SPEED_PX = 3.0  # the window's fastest motion along an axis, in pixels per frame


@dataclass(frozen=True, slots=True)
class StagePath:
    """Where a window stands on a larger hologram: a Lissajous figure, as a stage that sweeps to and fro would go.

    Along each axis the window swings sinusoidally over all the room there is, at no more than `_STAGE_SPEED_PX`
    pixels per frame, from the middle. The two periods are in the golden ratio, so the path does not soon repeat.

    Attributes:
        outer: (H, W) of the hologram.
        inner: (h, w) of the window, at most as large.
    """

    outer: tuple[int, int]
    inner: tuple[int, int]

    def at(self, step: int) -> tuple[int, int]:
        """(top, left) of the window after `step` frames, in whole pixels."""
        golden = (1 + 5**0.5) / 2
        return self._along(0, step, 1.0), self._along(1, step, golden)

    def _along(self, axis: int, step: int, slowness: float) -> int:
        swing_px = (self.outer[axis] - self.inner[axis]) / 2
        if swing_px == 0:
            return 0
        period = ceil(tau * swing_px / _STAGE_SPEED_PX * slowness)
        return round(swing_px * (1 + sin(tau * (step % period) / period)))


class ReplayCamera:
    """Sends a recording's frames at a set rate, or as fast as they are taken, once or in a loop.

    A window of the asked size travels over frames that are larger; smaller frames are sent as they are. A frame that
    cannot be read, or has another size than the first, is counted as lost, and the next one is sent.
    """

    def __init__(self, address: str, options: CameraOptions) -> None:
        recording = _opened(address)
        rate_hz = options.frame_rate_hz
        if rate_hz is None:
            rate_hz = recording.frame_rate_hz or DEFAULT_RATE_HZ
        if not 0 <= rate_hz <= 10_000:
            raise CameraUnavailable(f"expected a frame rate in Hz of 0 … 10000, got {rate_hz}")
        asked = options.shape or recording.shape
        if min(asked) < 1:
            raise CameraUnavailable(f"expected a frame of at least 1 × 1 pixels, got {asked}")
        self._address = address
        self._recording: Recording | None = recording
        self._loop = options.loop
        self._rate_hz = rate_hz
        self._shape = (min(asked[0], recording.shape[0]), min(asked[1], recording.shape[1]))
        self._path = StagePath(recording.shape, self._shape)
        self._position = 0  # in the recording, counted through all its rounds
        self._sequence = 0
        self._losses: Counter[str] = Counter()
        self._pace: Pace | None = None
        self._identity = CameraIdentity(
            source=f"replay:{address}",
            vendor="recording",
            model=recording.name,
            serial="",
            shape=self._shape,
            bit_depth=recording.bit_depth,
            frame_rate_hz=rate_hz or None,
            optics=options.optics or recording.optics,
        )

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> Camera:
        """The recording at a path; none, or `glioblastoma`, means the bundled hologram.

        Raises:
            CameraUnavailable: there is no recording, or the options are impossible.
        """
        return cls(address or "glioblastoma", options)

    @property
    def identity(self) -> CameraIdentity:
        """See `Camera.identity`."""
        return self._identity

    @property
    def waits_for_consumer(self) -> bool:
        """True at frame rate 0."""
        return self._rate_hz == 0

    def start(self) -> None:
        """See `Camera.start`. A recording that had ended begins again."""
        if self._recording is None:
            self._recording = _opened(self._address)
        if self._position >= self._recording.frames and not self._loop:
            self._position = 0
        self._pace = Pace(self._rate_hz)

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`."""
        if self._recording is None or self._pace is None:
            raise CameraUnavailable("expected a camera that was started, got one that was not; call start()")
        if self._has_ended(self._recording):
            return None
        self._pace.wait(timeout_s)
        image = self._next_readable(self._recording)
        if image is None:
            return None
        top, left = self._path.at(self._position - 1)
        window: Pixels = image.pixels[top : top + self._shape[0], left : left + self._shape[1]].copy()
        bit_depth = max(image.bit_depth, self._identity.bit_depth)
        if bit_depth > 8:
            window = window.astype(np.uint16, copy=False)  # a folder may hold 8-bit images among deeper ones
        frame = Frame(window, bit_depth, self._sequence, time_ns(), monotonic_ns())
        self._sequence += 1
        return frame

    def take_losses(self) -> Mapping[str, int]:
        """See `Camera.take_losses`: frames of the recording that cannot be read, or have another size."""
        losses, self._losses = self._losses, Counter()
        return losses

    def stop(self) -> None:
        """See `Camera.stop`. The count of frames and the place in the recording stay when `start` follows."""
        self._pace = None
        if self._recording is not None:
            self._recording.close()
            self._recording = None

    def _has_ended(self, recording: Recording) -> bool:
        return not self._loop and self._position >= recording.frames

    def _next_readable(self, recording: Recording) -> GreyImage | None:
        """The next frame that can be sent; None if the recording ends first."""
        for _ in range(recording.frames):
            if self._has_ended(recording):
                return None
            index = self._position % recording.frames
            self._position += 1
            try:
                image = recording.read(index)
            except ImageFileError:
                self._losses["unreadable in the recording"] += 1
                continue
            if image.pixels.shape == recording.shape:
                return image
            self._losses["other size than the recording"] += 1
        raise CameraLost(f"Expected a readable frame in {recording.name}, got none in a whole round of it.")


def _opened(address: str) -> Recording:
    try:
        return open_recording(address)
    except ImageFileError as error:
        raise CameraUnavailable(str(error)) from error
