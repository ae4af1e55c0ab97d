"""Cameras that speak GenICam, through whatever GenTL producer (.cti) their maker provides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock, RLock
from time import monotonic_ns

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.errors import CameraError, CameraLost, CameraTimeout, CameraUnavailable, FeatureMissing
from qpi_live.camera.features import CameraListing, Feature, FeatureValue
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.camera.genicam.capture_link import REASONS, CameraFacts, CaptureLink, FrameMessage
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_NAME, PixelFormat
from qpi_live.camera.genicam.producers import producer_with, producers_for, require_harvesters, split_address
from qpi_live.camera.genicam.slots import SlotLayout, Slots
from qpi_live.camera.genicam.wanted import WINDOW_SIDES, WantedSettings
from qpi_live.camera.source import CameraIdentity, CameraOptions
from qpi_live.camera.window import WINDOW_FEATURES, SensorWindow, WindowChange

require_harvesters()  # only the capture process imports it, but without it nothing here can work

_HUNG_NS = 5_000_000_000
_STOP_S = 2.0  # for requests under way; the line waits 5 s for its camera to stop
_UNREAD = "stream stopped"


@dataclass(frozen=True, slots=True)
class _Session:
    """Frames of one layout, all from one capture process."""

    number: int
    slots: Slots
    pixel_format: PixelFormat


class GenicamCamera:
    """`Camera` and `ConfigurableCamera` for `gentl:PATH.cti`, `gentl:PATH.cti#SERIAL`, `gentl:#SERIAL` and `gentl:`.

    The driver runs in a process of its own (`capture_process`), which copies each frame once, from the driver's
    buffer into a slot of shared memory. A `Frame`'s pixels are that slot; it is used again when the last array that
    shows it is gone. While fewer than a quarter of the slots are free, since somebody keeps many frames, frames are
    handed out as copies instead, so that nobody's keeping ever loses frames.

    What was set is set again whenever the camera is opened again, on the same camera. What it does not take any more is
    left as the camera has it, and said in `identity.remark`: better frames with one setting off than none.
    """

    waits_for_consumer = False

    @classmethod
    def open(cls, address: str, options: CameraOptions) -> GenicamCamera:
        """The camera at `address`, open and set up, ready to start.

        Raises:
            CameraUnavailable: it is not there, in use, not grey, or does not take the settings.
        """
        camera = cls(address, options)
        try:
            camera._connect()
        except CameraLost as lost:
            raise CameraUnavailable(str(lost)) from lost
        return camera

    def __init__(self, address: str, options: CameraOptions) -> None:
        path, serial = split_address(address)
        self._source = f"gentl:{address}"
        self._producers = producers_for(path)
        self._serial = serial
        self._options = options
        self._wanted = WantedSettings(options)
        self._lock = RLock()
        self._link: CaptureLink | None = None
        self._identity: CameraIdentity
        self._session: _Session | None = None
        self._previous: _Session | None = None  # its last frames may still be on their way
        self._sessions = 0
        self._format = FORMATS_BY_NAME["Mono8"]
        self._sequence = 0
        self._was_open = False
        self._started = False
        self._paused = False
        self._counting = Lock()  # of its own: the thread that reads frames must not wait for a request
        self._told = [0] * len(REASONS)
        self._lost: Counter[str] = Counter()

    @property
    def identity(self) -> CameraIdentity:
        """See `Camera.identity`."""
        return self._identity

    @property
    def is_paused(self) -> bool:
        """See `ConfigurableCamera.is_paused`."""
        return self._paused

    @property
    def pinnable(self) -> NDArray[np.uint8] | None:
        """The page-aligned memory that all frames of the running stream lie in; None before `start`.

        Whoever registers it with a device (page-locks it) does so again when this is another array.
        """
        session = self._session
        return session.slots.pinnable if session else None

    def start(self) -> None:
        """See `Camera.start`. Opens the camera again, with its settings, after `stop` or a loss."""
        with self._lock:
            try:
                if self._link is None:
                    self._connect()
                self._started = True
                if not self._paused:
                    self._stream()
            except CameraLost as lost:
                raise CameraUnavailable(str(lost)) from lost

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`."""
        link = self._link
        if link is None or not self._started:
            raise CameraLost("the camera was not started")
        message = link.receive(timeout_s)
        if message is None:
            raise self._silence()
        session = self._session_of(message)
        if session is None:
            with self._counting:
                self._lost[_UNREAD] += 1
            return self.read(timeout_s)
        frame = Frame(
            pixels=_pixels(session.slots, message.slot),
            bit_depth=session.pixel_format.bit_depth,
            sequence=self._sequence,
            captured_ns=message.captured_ns,
            captured_monotonic_ns=message.captured_monotonic_ns,
            device_id=message.device_id,
            device_timestamp_ns=message.device_timestamp_ns,
            settings=message.settings,
        )
        self._sequence += 1
        return frame

    def take_losses(self) -> Mapping[str, int]:
        """See `Camera.take_losses`."""
        with self._counting:
            self._collect_losses()
            losses, self._lost = self._lost, Counter()
        return losses

    def stop(self) -> None:
        """See `Camera.stop`."""
        link = self._link
        if link is not None and (self._is_hung() or not self._is_free_within(_STOP_S)):
            link.kill()  # before waiting for the lock: a request that waits for the driver may hold it
        with self._lock:
            self._started = False
            link, self._link = self._link, None
            if link is None:
                return
            link.close()
            with self._counting:
                self._count_unread(link)
                self._collect_losses()
                self._session = self._previous = None
            link.drop_connections()

    def features(self) -> list[Feature]:
        """See `ConfigurableCamera.features`."""
        features: list[Feature] = self._opened().ask("features")
        return features

    def feature(self, name: str) -> Feature:
        """See `ConfigurableCamera.feature`."""
        feature: Feature = self._opened().ask("feature", name)
        return feature

    def set_feature(self, name: str, value: FeatureValue) -> Feature:
        """See `ConfigurableCamera.set_feature`. What was set is set again when the camera is opened again."""
        with self._lock:
            feature: Feature = self._opened().ask("set", name, value)
            self._remember(feature)
            if feature.stored:
                self._update_identity()
        return feature

    def pause(self) -> None:
        """See `ConfigurableCamera.pause`. While the camera is being looked for, it is found paused."""
        with self._lock:
            if self._started and self._link is not None:
                self._link.ask("stop")
            self._paused = True

    def resume(self) -> None:
        """See `ConfigurableCamera.resume`."""
        with self._lock:
            was_paused, self._paused = self._paused, False
            if was_paused and self._started and self._link is not None:
                self._stream()

    def save_settings(self) -> dict[str, FeatureValue]:
        """See `ConfigurableCamera.save_settings`."""
        return {
            feature.name: feature.value for feature in self.features() if feature.stored and feature.value is not None
        }

    def load_settings(self, settings: Mapping[str, FeatureValue]) -> None:
        """See `ConfigurableCamera.load_settings`."""
        with self._lock, self._stopped() as link:
            link.ask("load", dict(settings))
            for name in settings:
                self._remember(self.feature(name))

    def window(self) -> SensorWindow:
        """See `ConfigurableCamera.window`."""
        window: SensorWindow = self._opened().ask("window")
        return window

    def set_window(self, change: WindowChange) -> SensorWindow:
        """See `ConfigurableCamera.set_window`."""
        with self._lock, self._stopped() as link:
            window: SensorWindow = link.ask("set_window", change)
            for name in WINDOW_FEATURES:
                if feature := self._feature_if_there(name):
                    self._wanted.put(feature)
        return window

    @contextmanager
    def _stopped(self) -> Iterator[CaptureLink]:
        """The camera, not streaming, for what it takes only then; streaming again afterwards, unless it was paused."""
        link, was_paused = self._opened(), self._paused
        self.pause()
        try:
            yield link
        finally:
            self._paused = was_paused  # first, since the rest fails with a camera that is lost meanwhile
            if self._started and not was_paused:
                self._stream()
            else:
                self._update_identity()

    def _connect(self) -> None:
        producer = producer_with(self._producers, self._serial)
        link = CaptureLink()
        try:
            listing: CameraListing = link.ask("open", producer, self._serial)
            self._wanted.set_up(link, was_open=self._was_open)
            self._link = link
            self._producers = [producer]
            self._serial = listing.serial or self._serial  # from now on this camera and no other
            self._update_identity(listing)
            self._was_open = True
        except BaseException:
            self._link = None
            link.close()
            link.drop_connections()
            raise

    def _stream(self) -> None:
        self._update_identity()
        link, present = self._opened(), self._session
        layout = SlotLayout.of_frames(self._identity.shape, self._format.dtype)
        if present is None or present.slots.layout != layout or present.pixel_format != self._format:
            slots = link.attach(layout)
            with self._counting:
                self._collect_losses()
                self._told = [0] * len(REASONS)
                self._sessions += 1
                self._previous, self._session = present, _Session(self._sessions, slots, self._format)
        link.ask("start", self._sessions)

    def _session_of(self, message: FrameMessage) -> _Session | None:
        known = (self._session, self._previous)
        return next((session for session in known if session and session.number == message.session), None)

    def _silence(self) -> CameraError:
        if self._paused:
            return CameraTimeout("The camera is stopped; start it to go on.")
        link = self._link
        if link is not None and link.busy_with:
            return CameraTimeout(f"No frame comes while the camera is busy with {link.busy_with}.")
        if self._is_hung():
            return CameraLost(f"the camera's driver has not returned for {_HUNG_NS / 1e9:.0f} s; ending its process")
        settings = self._identity.settings
        if settings.get("TriggerMode") == "On":
            return CameraTimeout(f"The camera waits for a trigger ({settings.get('TriggerSource', 'unknown source')}).")
        return CameraTimeout("No frame comes from the camera; see to its rate, its exposure time and its cable.")

    def _is_hung(self) -> bool:
        session = self._session
        if session is None or self._paused or not self._started:
            return False
        link, heartbeat_ns = self._link, session.slots.heartbeat_ns
        if link is not None and link.busy_with:
            return False  # whoever asked waits for the driver, and ends it if it does not come back
        return heartbeat_ns != 0 and monotonic_ns() - heartbeat_ns > _HUNG_NS

    def _is_free_within(self, timeout_s: float) -> bool:
        """Whether requests that hold the lock let go of it in time."""
        free = self._lock.acquire(timeout=timeout_s)
        if free:
            self._lock.release()
        return free

    def _opened(self) -> CaptureLink:
        link = self._link
        if link is None:
            raise CameraLost("the camera is not connected at present; it is being looked for")
        return link

    def _remember(self, feature: Feature) -> None:
        names = WINDOW_SIDES if feature.name in WINDOW_SIDES else ()  # one alone would not bring the same window back
        for one in [found for name in names if (found := self._feature_if_there(name))] or [feature]:
            self._wanted.put(one)

    def _feature_if_there(self, name: str) -> Feature | None:
        try:
            return self.feature(name)
        except FeatureMissing:
            return None

    def _update_identity(self, listing: CameraListing | None = None) -> None:
        facts: CameraFacts = self._opened().ask("facts")
        self._format = FORMATS_BY_NAME[facts.pixel_format].of_depth(facts.bit_depth)
        binning = _binning_in(facts.settings)
        if listing is not None:
            self._identity = CameraIdentity(
                source=self._source,
                vendor=listing.vendor,
                model=listing.model,
                serial=listing.serial,
                shape=facts.shape,
                bit_depth=self._format.bit_depth,
                frame_rate_hz=facts.frame_rate_hz,
                optics=self._options.optics.over(None, binning),
                settings=facts.settings,
                remark=self._wanted.remark,
                binning=binning,
            )
            return
        self._identity = replace(
            self._identity,
            shape=facts.shape,
            bit_depth=self._format.bit_depth,
            frame_rate_hz=facts.frame_rate_hz,
            optics=self._options.optics.over(None, binning),
            settings=facts.settings,
            remark=self._wanted.remark,
            binning=binning,
        )

    def _collect_losses(self) -> None:
        if self._session is None:
            return
        now = self._session.slots.losses[: len(REASONS)]
        for reason, before, after in zip(REASONS, self._told, now, strict=True):
            if after > before:
                self._lost[reason] += after - before
        self._told = now

    def _count_unread(self, link: CaptureLink) -> None:
        """Frames that the process still announced before it ended."""
        try:
            while link.receive(0) is not None:
                self._lost[_UNREAD] += 1
        except CameraLost:
            pass


def _binning_in(settings: Mapping[str, FeatureValue]) -> tuple[int, int]:
    """The sensor's pixels to one of the frame's, along y and x, by the features of SFNC 2.7."""

    def number(name: str) -> int:
        value = settings.get(name, 1)
        return int(value) if isinstance(value, int | float) else 1

    along_y, along_x = (number(f"Binning{side}") * number(f"Decimation{side}") for side in ("Vertical", "Horizontal"))
    return along_y, along_x


def _pixels(slots: Slots, slot: int) -> Pixels:
    """The slot itself; a copy while slots are scarce, so that nobody's keeping of frames stops the stream."""
    return slots.copy_out(slot) if slots.free < slots.layout.count // 4 else slots.lend(slot)
