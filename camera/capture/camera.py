"""A camera whose driver runs in a process of its own, whatever the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from time import monotonic_ns
from typing import Generic

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.capture.link import ProcessLink
from qpi_live.camera.capture.reopening import Reopening
from qpi_live.camera.capture.sessions import FormatT, Sessions
from qpi_live.camera.capture.slots import SlotLayout
from qpi_live.camera.errors import CameraError, CameraLost, CameraTimeout, CameraUnavailable
from qpi_live.camera.features import Feature, FeatureValue
from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.camera.window import SensorWindow, WindowChange

_HUNG_NS = 5_000_000_000
_STOP_S = 2.0  # for requests under way; the line waits 5 s for its camera to stop


class DrivenCamera(Generic[FormatT]):
    """`Camera` and `ConfigurableCamera` over a capture process; each kind of driver has a class of it.

    The process copies each frame once, from the driver's buffer into a slot of shared memory. A `Frame`'s pixels are
    that slot; it is used again when the last array that shows it is gone. While fewer than a quarter of the slots are
    free, frames are handed out as copies instead. So frames are never lost because somebody keeps many.

    What was set is set again whenever the camera is opened again, on the same camera. What it does not take any more is
    left as the camera has it, and `identity.remark` says so. Better frames with one setting off than none.

    Args:
        reopening: the way to the camera.
        reasons: why its process loses frames, in the order of `Slots.losses`.

    Raises:
        CameraUnavailable: it is not there, in use, not grey, or does not take the settings.
    """

    waits_for_consumer = False

    def __init__(self, reopening: Reopening[FormatT], reasons: Sequence[str]) -> None:
        self._reopening = reopening
        self._lock = RLock()
        self._link: ProcessLink | None = None
        self._identity: CameraIdentity
        self._format: FormatT
        self._sessions = Sessions[FormatT](reasons)
        self._sequence = 0
        self._started = False
        self._paused = False
        try:
            self._connect()
        except CameraLost as lost:
            raise CameraUnavailable(str(lost)) from lost

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
        session = self._sessions.present
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
        session = self._sessions.of(message)
        if session is None:
            return self.read(timeout_s)
        frame = Frame(
            pixels=session.pixels(message.slot),
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
        return self._sessions.take_losses()

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
            self._sessions.end(link)
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
            link = self._opened()
            feature: Feature = link.ask("set", name, value)
            self._reopening.wanted.remember(link, feature)
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
                self._reopening.wanted.remember(link, link.ask("feature", name))

    def window(self) -> SensorWindow:
        """See `ConfigurableCamera.window`."""
        window: SensorWindow = self._opened().ask("window")
        return window

    def set_window(self, change: WindowChange) -> SensorWindow:
        """See `ConfigurableCamera.set_window`."""
        with self._lock, self._stopped() as link:
            window: SensorWindow = link.ask("set_window", change)
            self._reopening.wanted.remember_window(link)
        return window

    @contextmanager
    def _stopped(self) -> Iterator[ProcessLink]:
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
        self._link, self._identity, self._format = self._reopening.open()

    def _stream(self) -> None:
        self._update_identity()
        link, layout = self._opened(), SlotLayout.of_frames(self._identity.shape, self._format.dtype)
        link.ask("start", self._sessions.begin(link, layout, self._format))

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
        session = self._sessions.present
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

    def _opened(self) -> ProcessLink:
        link = self._link
        if link is None:
            raise CameraLost("the camera is not connected at present; it is being looked for")
        return link

    def _update_identity(self) -> None:
        self._identity, self._format = self._reopening.describe(self._opened())
