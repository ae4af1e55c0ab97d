"""Opens what the settings name."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns, time_ns

from qpi_live.camera.cores import available_cores
from qpi_live.camera.files.image_file import read_image
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import StatedOptics
from qpi_live.camera.source import open_camera
from qpi_live.camera.switch import CameraSwitch
from qpi_live.models.engine import DeviceEngine, EngineOptions, PhaseEngine, open_engine
from qpi_live.models.errors import EngineError
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.line.tuning import NotTunable
from qpi_live.service.settings import Settings
from qpi_live.service.settings_file import SettingsError
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations

_ON_GPU, _ON_CPU = "goldstein-cuda", "goldstein"
_log = logging.getLogger(__name__)


def open_stations(settings: Settings) -> Stations:
    """The lines that `settings` describe: one for `camera`, and one for each of `more_cameras`.

    Cores and the memory for frames that are sent are shared out among them.

    Raises:
        CameraError, EngineError, SettingsError: as `open_station`, of any of them; none stays open then.
    """
    sources = (settings.camera, *settings.more_cameras)
    if len(set(sources)) != len(sources):
        raise SettingsError(f"camera: expected different cameras, got {', '.join(sources)}")
    remembered, stations = RememberedCameras(), list[Station]()
    try:
        for source in sources:
            stations.append(open_station(_share(settings, source, len(sources)), remembered))
    except BaseException:
        for station in stations:
            station.cameras.stop()
        raise
    return Stations(stations)


def _share(settings: Settings, source: str, lines: int) -> Settings:
    """What one of several lines is opened with; what is said of one camera alone goes to the first."""
    if lines == 1:
        return settings
    own: dict[str, object] = {
        "camera": source,
        "threads": settings.threads or max(1, available_cores() // lines),
        "sent_memory_mb": max(64, settings.sent_memory_mb // lines),
    }
    if source != settings.camera:
        own |= {"other_cameras": (), "calibration": None}
    return settings.model_copy(update=own)


def open_station(settings: Settings, remembered: RememberedCameras | None = None) -> Station:
    """The station that `settings` describe, ready to run.

    Raises:
        CameraError: the camera cannot be opened.
        EngineError: an engine cannot be made.
        SettingsError: the calibration file cannot be used.
    """
    remembered = remembered or RememberedCameras()
    cameras = CameraSwitch([open_camera(source, settings.camera_options(source)) for source in settings.cameras])
    if settings.optics == StatedOptics():  # what is given at the start beats what was said on the page
        for source in cameras.sources:
            cameras.state_optics(source, remembered.optics(source))
    sideband = settings.sideband or remembered.get(cameras.chosen)
    options = settings.engine_options(cameras.identity.optics, sideband)
    engine = open_engine(settings.engine, options, may_be_file=True)
    # One thread: the cores are the live engine's.
    baseline = _open_baseline(settings, engine, replace(options, threads=1))
    station = Station(settings, cameras, engine, baseline, sideband, remembered, options)
    if settings.calibration is not None:
        _calibrate(station, settings.calibration)
    return station


def _open_baseline(settings: Settings, engine: PhaseEngine, options: EngineOptions) -> PhaseEngine | None:
    """The baseline that was asked for; if none was, the classical chain, on the GPU where the engine is there too."""
    if settings.baseline_fraction == 0 or settings.baseline == settings.engine:
        return None
    if settings.baseline is not None:
        return open_engine(settings.baseline, options, may_be_file=True)
    if isinstance(engine, DeviceEngine) and settings.engine != _ON_GPU:
        try:
            return open_engine(_ON_GPU, options)
        except EngineError as error:
            _log.warning("the baseline runs on the CPU: %s", error)
    return None if settings.engine == _ON_CPU else open_engine(_ON_CPU, options)


def _calibrate(station: Station, file: Path) -> None:
    try:
        image = read_image(file)
        frame = Frame(image.pixels, image.bit_depth, 0, time_ns(), monotonic_ns())
        if frame.shape != station.camera_shape:
            raise ValueError(f"expected the camera's shape {station.camera_shape}, got {frame.shape}")
        station.tuning.use_calibration(frame)
    except (ValueError, NotTunable) as error:
        raise SettingsError(f"calibration: {error}") from error
