"""All parts of one running service, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Lock
from time import monotonic

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from qpi_live.camera.account import FrameAccount
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.gpu.queue import Uploads
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.source import Camera
from qpi_live.camera.switch import CameraSwitch
from qpi_live.models.engine import EngineOptions, PhaseEngine
from qpi_live.models.engine_switch import EngineSwitch
from qpi_live.models.sideband import Sideband
from qpi_live.service.http.bounded_threads import BoundedThreads
from qpi_live.service.line.engines import Engines
from qpi_live.service.line.frame_queue import follow, queue_for
from qpi_live.service.line.hub import Hub
from qpi_live.service.line.latency import LatencyBook
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.line.promoted import Promoted
from qpi_live.service.line.rates import Rates
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.line.state import State
from qpi_live.service.line.status import StatusBoard
from qpi_live.service.line.tuning import Tuning
from qpi_live.service.measuring.measurer import Measurer
from qpi_live.service.recording.player import Player
from qpi_live.service.recording.recorder import Limits
from qpi_live.service.recording.recordings import Recordings
from qpi_live.service.sent.on_demand import OnDemand
from qpi_live.service.settings import Settings
from qpi_live.service.viewing.audience import Audience
from qpi_live.service.viewing.averager import Averager
from qpi_live.service.viewing.baseline import Baseline
from qpi_live.service.viewing.encoders import Encoders
from qpi_live.service.viewing.metrics import StationCollector
from qpi_live.service.viewing.other_phases import OtherPhases

_STOP_S = 1.5
_RECORDINGS_STOP_S = 1.5  # frames that the disk has not taken until then are given up
_ON_DEMAND_AFTER_S = 5.0  # the live engine warms up first


class Station:
    """The line from `camera` to its audience, with everything that stands beside it.

    Args:
        settings: what the user set.
        cameras: opened, not started.
        engine: opened with `sideband`; from now on the station's, which closes it.
        baseline: the engine that checks a part of the frames, or None.
        sideband: the sideband in force.
        remembered: where a new choice of sideband is kept.
        opened_with: what the engine was asked for; None: what it would be asked for now.
    """

    def __init__(
        self,
        settings: Settings,
        cameras: CameraSwitch,
        engine: PhaseEngine,
        baseline: PhaseEngine | None,
        sideband: Sideband,
        remembered: RememberedCameras,
        opened_with: EngineOptions | None = None,
    ) -> None:
        self.settings = settings
        self.cameras = cameras
        self._switching = Lock()
        self._remembered = remembered
        self.registry = CollectorRegistry()
        self.latencies = LatencyBook(self.registry)
        account = FrameAccount()
        self.hub = Hub()
        self.engine = EngineSwitch(engine)
        self._queue = queue_for(self.engine, lambda: self.camera, account)
        self.pipeline = Pipeline(cameras, self._queue, self.engine, self.hub, account, self.latencies)
        self.audience = Audience(self.hub)
        self.camera_requests = BoundedThreads("the camera", threads=4, most=8)
        self.measuring_requests = BoundedThreads("the measuring", threads=1, most=8)
        self.focus_requests = BoundedThreads("the search for the focus", threads=1, most=2)
        self.rates = Rates(account, self.latencies)
        beside = EngineSwitch(baseline) if baseline else None
        self.baseline = Baseline(beside, settings.baseline_fraction, self.hub) if beside else None
        self.averager = Averager(self.hub)
        self.others = OtherPhases(self.baseline, self.averager)
        self.measurer = Measurer(self.hub, remembered)
        self.pipeline.leave_out = self.measurer.leave_out
        self.encoders = Encoders(self.others, self.latencies)
        self.board = StatusBoard(self.pipeline, lambda: self.cameras.identity)
        self.tuning = Tuning(cameras.chosen, sideband, remembered, self.engine, beside)
        self.engines = Engines(
            settings.engine,
            engine,
            opened_with or self._engine_options(),
            self._engine_options,
            lambda: (self.cameras.identity.shape, self.cameras.identity.bit_depth),
            self.tuning,
            lambda: self.pipeline.is_engine_hung,
            self._go_on_with_new_engine,
        )
        self.promoted = Promoted(settings.networks.expanduser(), self.engines)
        if self.baseline:
            self.baseline.figures_of = self.promoted.figures_of
        self.recordings = Recordings(
            settings.recordings.expanduser(),
            Limits(settings.recordings_free_mb * 1_000_000, settings.recordings_memory_mb * 1_000_000),
            self.pipeline,
            lambda: self.rates.captured_hz,
            lambda: self.tuning.calibration,
        )
        self.player = Player(self.recordings.shelf)
        self.on_demand = OnDemand(settings.sent_memory_mb << 20, settings.sent_seconds)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(StationCollector(self.pipeline, self.audience, self.baseline))
        self._started = monotonic()

    @property
    def camera(self) -> Camera:
        """The camera that frames come from now."""
        return self.cameras.current

    @property
    def sources(self) -> tuple[str, ...]:
        """The cameras that a user can switch to, the current one included."""
        return self.cameras.sources

    def switch_camera(self, source: str) -> None:
        """Take frames from another of `sources`, with the adjustments that are its own.

        Switches that are asked for at once are done one after the other. A recording that is over starts again.

        Raises:
            CameraUnavailable: no such camera; nothing has changed then.
        """
        if source not in self.sources:
            raise CameraUnavailable(f"expected a camera among {', '.join(self.sources)}, got {source!r}")
        with self._switching:
            self.pipeline.switch_camera(source, lambda: self.tuning.begin_camera(source))

    def state_optics(self, stated: StatedOptics) -> None:
        """Let frames of the camera chosen last travel with these optics, now and after a restart.

        Raises:
            ValueError: no microscope has such optics; nothing has changed then.
        """
        with self._switching:
            source = self.cameras.chosen
            self.cameras.state_optics(source, stated)
            self._remembered.put_optics(source, stated)

    @property
    def camera_shape(self) -> tuple[int, int]:
        """(H, W) of the camera's frames."""
        return self.cameras.identity.shape

    @property
    def uploads(self) -> Uploads | None:
        """What became of the frames' uploads to the engine's device; None where it works on none."""
        return self._queue.uploads

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return monotonic() - self._started

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the line inside a running event loop; at the end everything has been let go of."""
        watching = [
            asyncio.create_task(self.rates.keep()),
            asyncio.create_task(self.board.keep()),
            asyncio.create_task(self._warm_up_on_demand()),
            asyncio.create_task(self.promoted.keep()),
        ]
        self.pipeline.start()
        self.measurer.start()
        if self.baseline:
            self.baseline.start()
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.to_thread(self._stop)

    def _engine_options(self) -> EngineOptions:
        return self.settings.engine_options(self.cameras.identity.optics, self.tuning.now.sideband)

    def _go_on_with_new_engine(self) -> None:
        self.pipeline.leave_hung_engine()
        follow(self._queue, self.engine)

    async def _warm_up_on_demand(self) -> None:
        while self.pipeline.state.name is State.STARTING:  # which compiles what the other would compile, too
            await asyncio.sleep(_ON_DEMAND_AFTER_S)
        await asyncio.sleep(_ON_DEMAND_AFTER_S)
        await self.on_demand.warm_up()

    def _stop(self) -> None:
        self.recordings.close(_RECORDINGS_STOP_S)
        self.player.close()
        if self.baseline:
            self.baseline.stop(_STOP_S)
        self.measurer.stop(_STOP_S)
        self.averager.close()
        self.on_demand.close()
        self.camera_requests.close()
        self.measuring_requests.close()
        self.focus_requests.close()
        self.others.close()
        self.encoders.close()
        self.pipeline.stop(_STOP_S)
