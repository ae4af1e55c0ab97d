"""A camera that replays a recording, whatever other programs do to its files meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from time import monotonic, monotonic_ns, sleep, time_ns

from qpi_live.camera.errors import CameraLost, CameraTimeout, CameraUnavailable
from qpi_live.camera.files.bounded_file import Change
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import GreyImage
from qpi_live.camera.files.recording import Recording, is_bundled, open_recording
from qpi_live.camera.files.stage_path import StagePath
from qpi_live.camera.frame import Frame, Pixels, as_pixels
from qpi_live.camera.pace import Pace
from qpi_live.camera.source import Camera, CameraIdentity, CameraOptions

DEFAULT_RATE_HZ = 20.0
_LOOK_AGAIN_S = 1.0  # a file that grows is listed again no more often
_LISTING_SHARE = 5.0  # and a large one takes no more than every fifth second for it
_FOLLOW_POLL_S = 0.05
_PATIENCE_S = 2.0  # for the last frame of a followed recording to be written to its end


class ReplayCamera:
    """Sends a recording's frames at a set rate, or as fast as they are taken, once, in a loop, or as they are written.

    Frames are sent whole unless a size is asked for: then the middle of them. Over the bundled hologram, of which there
    is one frame, the window travels. A frame that cannot be read, or has another size than the first, is counted as
    lost when its time comes, and named in `identity.remark`. Files that change are listed again; where they were saved
    anew, the new recording plays from its start.
    """

    def __init__(self, address: str, options: CameraOptions) -> None:
        self._address = address
        self._options = options
        if options.frame_rate_hz is not None and not 0 <= options.frame_rate_hz <= 10_000:
            raise CameraUnavailable(f"expected a frame rate in Hz of 0 … 10000, got {options.frame_rate_hz}")
        if options.shape is not None and min(options.shape) < 1:
            raise CameraUnavailable(f"expected a frame of at least 1 × 1 pixels, got {options.shape}")
        self._recording: Recording | None = None
        self._position = 0  # in the recording
        self._steps = 0  # frames sent, which move the window
        self._failures = 0  # in a row
        self._sequence = 0
        self._losses: Counter[str] = Counter()
        self._notice = ""  # the last thing that went wrong or changed
        self._pace: Pace | None = None
        self._looked_at = 0.0
        self._listing_s = 0.0  # what it took to list the recording
        self._awaited_until: float | None = None
        self._identity = self._open()

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> Camera:
        """The recording at a path; none, or `glioblastoma`, means the bundled hologram.

        Raises:
            CameraUnavailable: there is no recording, or the options are impossible.
        """
        return cls(address or "glioblastoma", options)

    @property
    def identity(self) -> CameraIdentity:
        """See `Camera.identity`. It changes when the files do."""
        return self._identity

    @property
    def waits_for_consumer(self) -> bool:
        """True at frame rate 0."""
        return self._rate_hz == 0

    def start(self) -> None:
        """See `Camera.start`. A recording that had ended begins again."""
        if self._recording is None:
            self._identity = self._open()
        recording = self._opened()
        if self._position >= recording.frames and not self._options.follow:
            self._position = 0
        self._pace = Pace(self._rate_hz)

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`."""
        if self._recording is None or self._pace is None:
            raise CameraUnavailable("expected a camera that was started, got one that was not; call start()")
        until = monotonic() + timeout_s
        while True:
            self._look_again()
            recording = self._opened()
            if self._position >= recording.frames:
                if self._options.follow:
                    self._wait_for_more(recording, until)
                    continue
                if not self._options.loop:
                    return None
                self._position = 0
            self._pace.wait(max(0.0, until - monotonic()))
            image = self._next(recording, until)
            if image is not None:
                return self._framed(image, recording)

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

    def _opened(self) -> Recording:
        if self._recording is None:
            raise CameraUnavailable("expected a recording that is open, got none; call start()")
        return self._recording

    def _open(self) -> CameraIdentity:
        """List the recording; the place in it stays where the frames before it are still there."""
        began = monotonic()
        try:
            recording = open_recording(self._address, self._options.channel)
        except ImageFileError as error:
            raise CameraUnavailable(str(error)) from error
        self._recording = recording
        self._looked_at = monotonic()
        self._listing_s = self._looked_at - began
        rate_hz = self._options.frame_rate_hz
        self._rate_hz = (recording.frame_rate_hz or DEFAULT_RATE_HZ) if rate_hz is None else rate_hz
        asked = self._options.shape or recording.shape
        self._shape = (min(asked[0], recording.shape[0]), min(asked[1], recording.shape[1]))
        self._path = StagePath(recording.shape, self._shape)
        self._depth = recording.bit_depth
        return self._described(recording)

    def _described(self, recording: Recording) -> CameraIdentity:
        (height, width), (outer_height, outer_width) = self._shape, recording.shape
        crop = ""
        if self._shape != recording.shape:
            which = "A window" if is_bundled(self._address) else "The middle"
            crop = f"{which} of {height} × {width} pixels of {outer_height} × {outer_width}."
        return CameraIdentity(
            source=f"replay:{self._address}",
            vendor="recording",
            model=recording.name,
            serial="",
            shape=self._shape,
            bit_depth=self._depth,
            frame_rate_hz=self._rate_hz or None,
            optics=self._options.optics.over(recording.optics),
            remark=" ".join(part for part in (self._notice, recording.remark, crop) if part),
        )

    def _note(self, sentence: str) -> None:
        self._notice = sentence
        self._identity = self._described(self._opened())

    def _look_again(self) -> None:
        """List the recording anew where its files have changed.

        Raises:
            CameraLost: it is gone, or cannot be read as it is now.
        """
        before = self._opened()
        change = before.watch.look()
        rest_s = max(_LOOK_AGAIN_S, _LISTING_SHARE * self._listing_s)
        if change is Change.NONE or (change is Change.GROWN and monotonic() - self._looked_at < rest_s):
            return
        before.close()
        self._recording = None
        try:
            self._identity = self._open()
        except CameraUnavailable as error:
            self._position = 0
            gone = "is gone" if change is Change.GONE else "was changed and cannot be read now"
            raise CameraLost(f"{before.name} {gone}: {error}") from error
        after = self._opened()
        if change is not Change.GROWN or after.shape != before.shape or after.frames < before.frames:
            self._position = 0
            self._note(f"{before.name} was saved anew; playing it from its start.")
        if self._pace is not None and self._rate_hz != before.frame_rate_hz:
            self._pace = Pace(self._rate_hz)

    def _wait_for_more(self, recording: Recording, until: float) -> None:
        """Sleep a little, for the recording to grow.

        Raises:
            CameraTimeout: it did not.
        """
        left_s = until - monotonic()
        sleep(max(0.0, min(left_s, _FOLLOW_POLL_S)))
        if left_s <= 0:
            raise CameraTimeout(f"Waiting for more frames in {recording.name}, after {recording.frames}.")

    def _next(self, recording: Recording, until: float) -> GreyImage | None:
        """The next frame, or None where it cannot be sent: then its time has passed."""
        index = self._position
        try:
            image = recording.read(index)
        except ImageFileError as error:
            if recording.watch.look() not in (Change.NONE, Change.GROWN):
                return None  # the files were changed meanwhile: they are listed again, and nothing was lost
            if self._may_still_come(recording, index):
                self._wait_for_more(recording, until)
                return None
            self._lost(recording, index, "unreadable in the recording", f"cannot be read: {error}")
            return None
        if recording.watch.look() not in (Change.NONE, Change.GROWN):
            return None  # it may be half of the old and half of the new
        if image.pixels.shape != recording.shape:
            other = "{} × {} pixels".format(*image.pixels.shape)
            self._lost(recording, index, "other size than the recording", f"has {other}")
            return None
        self._position += 1
        self._failures = 0
        self._awaited_until = None
        return image

    def _may_still_come(self, recording: Recording, index: int) -> bool:
        """Whether the frame is the newest of a recording that is followed: it may be half written."""
        if not self._options.follow or index < recording.frames - 1:
            return False
        if self._awaited_until is None:
            self._awaited_until = monotonic() + _PATIENCE_S
        return monotonic() < self._awaited_until

    def _lost(self, recording: Recording, index: int, reason: str, sentence: str) -> None:
        self._losses[reason] += 1
        self._position += 1
        self._failures += 1
        self._awaited_until = None
        title = recording.title(index)
        self._note(f"{title[0].upper()}{title[1:]} {sentence.rstrip('.')}.")
        if self._failures >= recording.frames:
            self._failures = 0
            raise CameraLost(f"Expected a readable frame in {recording.name}, got none in a whole round of it.")

    def _framed(self, image: GreyImage, recording: Recording) -> Frame:
        top, left = self._corner(recording)
        window = slice(top, top + self._shape[0]), slice(left, left + self._shape[1])
        pixels: Pixels = image.pixels[window]
        missing = None if image.missing is None else image.missing[window].copy()
        if image.bit_depth > self._depth:  # deeper than the frames that were looked at: from now on all are
            self._depth = image.bit_depth
            self._identity = self._described(recording)
        frame = Frame(
            as_pixels(pixels, self._depth),
            self._depth,
            self._sequence,
            time_ns(),
            monotonic_ns(),
            origin_px=(top, left),
            missing=missing if missing is not None and missing.any() else None,
        )
        self._sequence += 1
        self._steps += 1
        return frame

    def _corner(self, recording: Recording) -> tuple[int, int]:
        if is_bundled(self._address):
            return self._path.at(self._steps)
        return (recording.shape[0] - self._shape[0]) // 2, (recording.shape[1] - self._shape[1]) // 2
