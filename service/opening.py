"""Opens what the settings name."""

from __future__ import annotations

from camera.source import open_camera
from models.engine import EngineOptions, open_engine
from service.remembered import RememberedSidebands
from service.settings import Settings
from service.station import Station


def open_station(settings: Settings, remembered: RememberedSidebands | None = None) -> Station:
    """The station that `settings` describe, ready to run.

    Raises:
        CameraError: the camera cannot be opened.
        EngineError: an engine cannot be made.
        SettingsError: the calibration file cannot be used.
    """
    remembered = remembered or RememberedSidebands()
    sideband = settings.sideband or remembered.get(settings.camera)
    camera = open_camera(settings.camera, settings.camera_options)
    options = settings.engine_options(camera.identity.optics, sideband)
    engine = open_engine(settings.engine, options)
    baseline = None
    if settings.baseline_fraction > 0 and settings.baseline != settings.engine:
        # One thread: the cores are the live engine's.
        baseline = open_engine(settings.baseline, _on_one_thread(options))
    return Station(settings, camera, engine, baseline, sideband, remembered)


def _on_one_thread(options: EngineOptions) -> EngineOptions:
    return EngineOptions(
        options.optics, options.carrier_cycles_per_px, options.sideband, options.background_order, threads=1
    )
