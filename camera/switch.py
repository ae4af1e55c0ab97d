"""The cameras of one stream, of which a user chooses one while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.source import Camera, CameraIdentity

_Layout = tuple[tuple[int, int], int, tuple[tuple[str, FeatureValue], ...]]  # (H, W), bit depth, part of the sensor


class CameraSwitch:
    """`Camera` that is one of several, or of one; the next `read` after `choose` comes from the one that was chosen.

    Frames are numbered through all of them, and say which camera they came from, through which optics, and in which
    epoch.

    Args:
        cameras: opened, not started; the first is chosen to begin with.

    Raises:
        CameraUnavailable: none is given, or two are the same.
    """

    def __init__(self, cameras: Sequence[Camera]) -> None:
        self._cameras = {camera.identity.source: camera for camera in cameras}
        if len(self._cameras) != len(cameras) or not cameras:
            raise CameraUnavailable(f"expected different cameras to choose from, got {len(cameras)}; name each once")
        self._current = self._chosen = cameras[0]
        self._optics: dict[str, StatedOptics] = {}
        self._running = False
        self._sequence = 0
        self._epoch = 0
        self._layout: _Layout | None = None
        self._settings: Mapping[str, FeatureValue] | None = None
        self._window: tuple[tuple[str, FeatureValue], ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """What can be chosen."""
        return tuple(self._cameras)

    @property
    def current(self) -> Camera:
        """The camera that frames come from."""
        return self._current

    @property
    def chosen(self) -> str:
        """The source chosen last, which the next frame read comes from."""
        return self._chosen.identity.source

    @property
    def epoch(self) -> int:
        """See `Frame.epoch`: of the newest frame."""
        return self._epoch

    @property
    def identity(self) -> CameraIdentity:
        """See `Camera.identity`: the current camera's, with the optics that a user has set for it."""
        identity = self._current.identity
        stated = self._optics.get(identity.source)
        return identity if stated is None else replace(identity, optics=stated.over(identity.optics, identity.binning))

    @property
    def stated_optics(self) -> StatedOptics:
        """What a user has said of the current camera's optics."""
        return self._optics.get(self._current.identity.source, StatedOptics())

    @property
    def waits_for_consumer(self) -> bool:
        """See `Camera.waits_for_consumer`: the current camera's."""
        return self._current.waits_for_consumer

    def choose(self, source: str) -> None:
        """Take frames from `source`, one of `sources`, from now on. Safe to call from any thread.

        Raises:
            CameraUnavailable: no such camera; nothing has changed then.
        """
        if source not in self._cameras:
            raise CameraUnavailable(f"expected a camera among {', '.join(self._cameras)}, got {source!r}")
        self._chosen = self._cameras[source]
        if not self._running:
            self._current = self._chosen

    def state_optics(self, source: str, stated: StatedOptics) -> None:
        """Let frames of `source` travel with these optics from now on, in place of what the camera says of its own.

        Safe to call from any thread.

        Raises:
            CameraUnavailable: no such camera; nothing has changed then.
            ValueError: no microscope has such optics; nothing has changed then.
        """
        if source not in self._cameras:
            raise CameraUnavailable(f"expected a camera among {', '.join(self._cameras)}, got {source!r}")
        stated.over(None)
        self._optics[source] = stated

    def start(self) -> None:
        """See `Camera.start`."""
        self._current = self._chosen
        self._current.start()
        self._running = True
        self._begin_epoch(None)

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`."""
        if self._current is not self._chosen:
            self.stop()
            self.start()
        frame = self._current.read(timeout_s)
        if frame is None:
            return None
        if frame.settings is not self._settings:  # which frames share
            self._settings, self._window = frame.settings, tuple(frame.sensor_window.items())
        layout = frame.shape, frame.bit_depth, self._window
        if self._layout is None:
            self._layout = layout
        elif layout != self._layout:
            self._begin_epoch(layout)
        identity = self.identity
        numbered = replace(
            frame, sequence=self._sequence, source=identity.source, optics=identity.optics, epoch=self._epoch
        )
        self._sequence += 1
        return numbered

    def take_losses(self) -> Mapping[str, int]:
        """See `Camera.take_losses`: of all of them."""
        losses: Counter[str] = Counter()
        for camera in self._cameras.values():
            losses.update(camera.take_losses())
        return losses

    def stop(self) -> None:
        """See `Camera.stop`."""
        self._running = False
        self._current.stop()

    def _begin_epoch(self, layout: _Layout | None) -> None:
        self._epoch += 1
        self._layout = layout
