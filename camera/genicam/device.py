"""A GenICam camera opened through a GenTL producer by harvesters, in the capture process: the adapter to that library.

This file and `discovery` step around traps of harvesters. Its binding never releases the interpreter lock while it
waits, so it runs in a process of its own. Opening a camera on the main thread takes SIGINT over. `Harvester.update`
destroys open cameras. A buffer's own `queue` blanks it first. The chunk parser raises on many cameras, so it is
switched off. A camera that is gone shows only as frames that do not come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from genicam import gentl
from harvesters.core import Callback, ImageAcquirer
from qpi_live.camera.capture.loading import load_settings
from qpi_live.camera.errors import CameraLost, CameraUnavailable, FeatureMissing, FeatureRefused
from qpi_live.camera.features import CameraListing, Feature, FeatureValue
from qpi_live.camera.frame import SENSOR_WINDOW
from qpi_live.camera.genicam.discovery import GENTL_ERRORS, open_camera, told
from qpi_live.camera.genicam.driver_frame import BufferReader, DriverFrame
from qpi_live.camera.genicam.nodes import GentlNodes
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME, PixelFormat

_LAYOUT = ("Width", "Height", "PixelFormat")
_ALWAYS_TOLD = (
    "PixelFormat",
    *SENSOR_WINDOW,
    "ExposureTime",
    "ExposureAuto",  # where it is on, the exposure time is only what it was when the settings were read
    "Gain",
    "GainAuto",
    "AcquisitionFrameRate",
    "TriggerMode",
    "TriggerSource",
)
_MOST_TOLD_BESIDES = 32  # they travel with every frame, and a camera may have hundreds
_HIGHEST_RATE_HZ = 10_000.0  # of cameras that do not say
_DRIVER_BUFFERS = 64  # a busy machine may not run this process for 50 ms
_DRIVER_BUFFER_BYTES = 256 << 20


class _CountIncomplete(Callback):  # type: ignore[misc]  # harvesters is not typed
    def __init__(self) -> None:
        self.count = 0

    def emit(self, context: object = None) -> None:
        self.count += 1


class GentlDevice:
    """An open camera. One thread uses it.

    Args:
        producer: path of a GenTL producer (a .cti file).
        serial: of the camera wanted; None takes the only one, or the first that is free.

    Raises:
        CameraUnavailable: there is none such, it is in use, or it sends no grey pictures.
    """

    def __init__(self, producer: str, serial: str | None) -> None:
        self._harvester, self._acquirer, self.listing = open_camera(producer, serial)
        self.nodes = GentlNodes(self._acquirer.remote_device.node_map)
        self._incomplete = _CountIncomplete()
        self._acquirer.add_callback(ImageAcquirer.Events.INCOMPLETE_BUFFER, self._incomplete)
        self._stream = self._acquirer.data_streams[0]
        self._underruns_seen = 0
        self._reader = BufferReader(self.nodes)
        self._was_set: deque[str] = deque(maxlen=_MOST_TOLD_BESIDES)
        self.is_streaming = False

    def choose_grey_format(self) -> PixelFormat:
        """The pixel format in use, after a change to a grey one where it is not.

        Raises:
            CameraUnavailable: the camera has no grey format that is known here.
        """
        feature = self.nodes.feature("PixelFormat")
        if feature.value in FORMATS_BY_NAME:
            return self._as_deep_as_sent(FORMATS_BY_NAME[str(feature.value)])
        for name in FORMATS_BY_NAME:
            if name in feature.choices:
                self.nodes.set(feature.name, name)
                return self._as_deep_as_sent(FORMATS_BY_NAME[name])
        raise CameraUnavailable(
            f"expected a camera with one of {', '.join(FORMATS_BY_NAME)}, got one with {', '.join(feature.choices)}"
        )

    def _as_deep_as_sent(self, pixel_format: PixelFormat) -> PixelFormat:
        """The format with the bits that the camera says it uses of it: 12 of Mono16's, say."""
        largest = int(self.nodes.number("PixelDynamicRangeMax") or 0)
        is_fewer = 0xFF < largest < (1 << pixel_format.bit_depth) - 1
        return pixel_format.of_depth(largest.bit_length()) if is_fewer else pixel_format

    def feature(self, name: str) -> Feature:
        """See `GentlNodes.feature`."""
        return self.nodes.feature(name)

    def set(self, name: str, value: FeatureValue) -> Feature:
        """See `GentlNodes.set`; what decides the frames' layout is refused while they stream, locked or not."""
        if self.is_streaming and name.rpartition("::")[2] in _LAYOUT:  # names may begin with their name space, Std::
            raise FeatureRefused(f"{name} cannot be set while the camera streams; stop the camera first")
        feature = self.nodes.set(name, value)
        if feature.stored:
            self._tell_besides(feature.name)
        return feature

    def settings(self) -> dict[str, FeatureValue]:
        """What belongs to a frame's record, read now: the usual settings, and those that were changed here."""
        values = {
            name: self.nodes.feature(name).value for name in (*_ALWAYS_TOLD, *self._was_set) if self.nodes.has(name)
        }
        return {name: value for name, value in values.items() if value is not None}

    def fit_window(self, shape: tuple[int, int]) -> None:
        """Read out the middle of the sensor, (H, W) as asked for or as near below as it can."""
        for side, offset, wanted in (("Height", "OffsetY", shape[0]), ("Width", "OffsetX", shape[1])):
            self._reset_offset(offset)
            with suppress(FeatureMissing, FeatureRefused):  # a camera whose size is fixed sends what it has
                self.nodes.set(side, _nearest(self.nodes.feature(side), wanted))
                room = self.nodes.feature(offset)
                self.nodes.set(offset, _nearest(room, (room.maximum or 0) / 2))

    def load(self, settings: Mapping[str, FeatureValue], leave_refused: bool = False) -> dict[str, str]:
        """Set all that differ, in order; one that is refused is tried again after the others it may depend on.

        Args:
            settings: by name, in the order to set them.
            leave_refused: whether what the camera does not take stays as the camera has it.

        Returns:
            Why each setting that was left was refused, by name. What the camera keeps locked, as an automatic exposure
            does with the exposure time, is left without a word.

        Raises:
            FeatureMissing, FeatureRefused: by one of them; some of the others are set.
            CameraLost: the camera does not answer.
        """
        if "Width" in settings or "Height" in settings:
            self._reset_offset("OffsetX")
            self._reset_offset("OffsetY")
        for name in settings if leave_refused else ():  # the camera may have kept what was set before
            self._tell_besides(name)
        left = load_settings(self, settings, leave_refused)
        return {name: why for name, why in left.items() if not self.nodes.has(name) or self.feature(name).writable}

    def _tell_besides(self, name: str) -> None:
        if name not in (*_ALWAYS_TOLD, *self._was_set):
            self._was_set.append(name)

    def _reset_offset(self, offset: str) -> None:
        with suppress(FeatureMissing, FeatureRefused):  # first, or it would limit the window's size
            self.nodes.set(offset, int(self.nodes.feature(offset).minimum or 0))

    def start(self) -> None:
        """Begin to stream.

        Raises:
            CameraLost: the camera does not answer.
        """
        with _translated(self.listing):
            payload = int(self.nodes.number("PayloadSize") or 1)
            self._acquirer.num_buffers = max(
                self._acquirer.min_num_buffers, min(_DRIVER_BUFFERS, _DRIVER_BUFFER_BYTES // payload or 1), 3
            )
            self._acquirer.start()
        self._underruns_seen = told(self._stream, "num_underrun") or 0  # some drivers go on counting over a stop
        self.is_streaming = True

    def stop(self) -> None:
        """Stop streaming. A camera that is gone is no error here."""
        self.is_streaming = False
        with suppress(*GENTL_ERRORS):
            self._acquirer.stop()

    def fetch(self, timeout_s: float) -> DriverFrame | None:
        """The next complete frame, or None when none came in time, or only an incomplete one.

        Raises:
            CameraLost: the driver says so, or sends what is no grey picture.
        """
        with _translated(self.listing):
            buffer = self._acquirer.try_fetch(timeout=timeout_s, is_raw=True)
            if buffer is None:
                return None
            try:
                return self._reader.read(buffer)
            except BaseException:
                self._stream.queue_buffer(buffer, False)
                raise

    def give_back(self, frame: DriverFrame) -> None:
        """Let the driver fill the frame's buffer again."""
        with _translated(self.listing):
            self._stream.queue_buffer(frame.handle, False)  # False: do not blank it first, which takes 57 µs

    def waiting(self) -> int:
        """Buffers that the driver has filled and `fetch` has not returned; 0 where it does not say."""
        return min(int(told(self._stream, "num_awaiting_delivery") or 0), _DRIVER_BUFFERS)

    def take_incomplete(self) -> int:
        """Buffers that came incomplete since this was last called."""
        count, self._incomplete.count = self._incomplete.count, 0
        return count

    def take_underruns(self) -> int:
        """Frames that the driver had no free buffer for since this was last called."""
        total = told(self._stream, "num_underrun") or 0
        before, self._underruns_seen = self._underruns_seen, total
        return int(total - before if total >= before else total)  # less: it started to count again

    def highest_rate_hz(self) -> float:
        """Frames a second that the camera can expose at most, as far as it says so."""
        rate = self.nodes.feature("AcquisitionFrameRate") if self.nodes.has("AcquisitionFrameRate") else None
        return rate.maximum or _HIGHEST_RATE_HZ if rate else _HIGHEST_RATE_HZ

    def is_gone(self) -> bool:
        """Whether the camera no longer answers; asked while no frames come, since nothing else would tell."""
        if (
            told(self._acquirer.device, "access_status")
            == gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_NOACCESS
        ):
            return True
        return not self.nodes.answers()

    def close(self) -> None:
        """Let go of the camera."""
        with suppress(*GENTL_ERRORS):
            self._acquirer.destroy()
        with suppress(*GENTL_ERRORS):
            self._harvester.reset()


def _nearest(feature: Feature, wanted: float) -> int:
    lowest, step = int(feature.minimum or 0), feature.increment or 1
    highest = wanted if feature.maximum is None else min(wanted, feature.maximum)
    return lowest + max(0, int(highest) - lowest) // step * step


@contextmanager
def _translated(listing: CameraListing) -> Iterator[None]:
    try:
        yield
    except GENTL_ERRORS as error:
        raise CameraLost(f"camera {listing.serial} no longer answers: {error}") from error
