"""Switching cameras while frames flow: in order, with the adjustments and optics of each, and no frame of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.opening import open_station
from qpi_live.service.settings import load_settings
from qpi_live.service.wire import FrameHeader

from tests.fakes import FakeCamera, TunableFakeEngine, fringes
from tests.service.stations import PATIENCE_S, Bench, until

WIDE, NARROW = Optics(532e-9, 4e-6, 20.0, 0.2), Optics(633e-9, 4e-6, 16.0, 0.1)


def camera(source: str, optics: Optics = WIDE) -> FakeCamera:
    made = FakeCamera((128, 160))
    made.identity = replace(made.identity, source=source, optics=optics)
    return made


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(TunableFakeEngine(), camera("a"), others=[camera("b")])


def next_frame(bench: Bench, source: str) -> LiveFrame:
    """Expose a frame on the camera called `source`, and wait until it is published."""
    before = bench.station.pipeline.account.snapshot().delivered
    until(lambda: bench.station.cameras.identity.source == source)
    bench.station.cameras._cameras[source].send()  # type: ignore[attr-defined]
    until(lambda: bench.station.pipeline.account.snapshot().delivered > before)
    until(lambda: bench.station.hub.latest is not None and bench.station.hub.latest.frame.source == source)
    latest = bench.station.hub.latest
    assert latest is not None
    return latest


def test_switch_there_and_back_at_once_ends_where_it_was_told_last(bench: Bench) -> None:
    next_frame(bench, "a")
    bench.station.switch_camera("b")
    bench.station.switch_camera("a")  # before any frame of b
    assert bench.station.cameras.chosen == "a"
    assert next_frame(bench, "a").frame.source == "a"
    bench.client.put("/api/v1/engine/sideband", json={"sideband": "lower"})
    bench.station.switch_camera("b")
    assert bench.station.tuning.now.sideband is Sideband.AUTO
    bench.station.switch_camera("a")
    assert bench.station.tuning.now.sideband is Sideband.LOWER
    bench.assert_exact()


def test_switches_at_once_leave_the_adjustments_and_the_frames_on_the_same_camera(bench: Bench) -> None:
    next_frame(bench, "a")
    bench.client.put("/api/v1/engine/sideband", json={"sideband": "lower"})  # a's own
    threads = [Thread(target=bench.station.switch_camera, args=(source,)) for source in ("b", "a") * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    chosen = bench.station.cameras.chosen
    assert next_frame(bench, chosen).frame.source == chosen
    assert bench.engine.sideband == ("lower" if chosen == "a" else "auto")
    bench.assert_exact()


def test_switch_while_a_frame_is_retrieved_never_publishes_it_with_the_other_cameras_adjustments(
    make_bench: Callable[..., Bench],
) -> None:
    entered, release = Event(), Event()

    class HeldEngine(TunableFakeEngine):
        def retrieve(self, frame: Frame) -> PhaseFrame:
            if frame.source == "a":
                entered.set()
                assert release.wait(PATIENCE_S)
            return super().retrieve(frame)

    bench = make_bench(HeldEngine(), camera("a"), others=[camera("b")])
    bench.camera.send(2)
    assert entered.wait(PATIENCE_S)
    bench.station.switch_camera("b")
    release.set()
    assert next_frame(bench, "b").frame.source == "b"
    account = bench.station.pipeline.account.snapshot()
    assert (account.captured, account.delivered, account.dropped) == (3, 1, {"camera switched": 2})


def test_switch_of_unequal_optics_gives_each_frame_its_own_band_and_header(make_bench: Callable[..., Bench]) -> None:
    engine = open_engine("goldstein", EngineOptions(WIDE))
    engine.warm_up((128, 160), 8)  # compiling may take longer than a frame is waited for
    bench = make_bench(engine, camera("a", WIDE), others=[camera("b", NARROW)])
    wide = next_frame(bench, "a")
    bench.station.switch_camera("b")
    narrow = next_frame(bench, "b")
    assert (wide.frame.optics, narrow.frame.optics) == (WIDE, NARROW)
    radii = [live.phase.engine.detail["band_radius_cycles_per_px"] for live in (wide, narrow)]
    limits = [optics.band_limit_cycles_per_px for optics in (WIDE, NARROW)]
    assert radii[0] / radii[1] == pytest.approx(limits[0] / limits[1])
    header = FrameHeader.model_validate_json(bench.client.get("/api/v1/frames/latest").headers["QPI-Frame"])
    assert (header.wavelength_m, header.object_pixel_m) == (633e-9, pytest.approx(0.25e-6))


def test_calibration_frame_is_each_cameras_own_and_found_again(bench: Bench) -> None:
    calibration = next_frame(bench, "a").frame
    assert bench.client.put("/api/v1/engine/calibration").status_code == 200
    bench.station.switch_camera("b")
    assert bench.client.get("/api/v1/engine").json()["calibration_ns"] is None
    bench.station.switch_camera("a")
    assert bench.client.get("/api/v1/engine").json()["calibration_ns"] == calibration.captured_ns


def test_calibration_by_the_old_cameras_frame_is_refused_after_a_switch(bench: Bench) -> None:
    next_frame(bench, "a")
    bench.station.switch_camera("b")  # the newest frame is still a's
    answer = bench.client.put("/api/v1/engine/calibration")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "expected a frame of b, got one of a; wait for its next one"
    assert bench.engine.calibration is None


def test_what_is_remembered_goes_by_the_cameras_own_name(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", fringes((96, 128), 0))
    given = {"camera": "replay:", "size": 128, "engine": "goldstein", "threads": 1}
    remembered = RememberedCameras(tmp_path / "remembered.json")
    station = open_station(load_settings(given), remembered)
    station.tuning.use_sideband(Sideband.LOWER)
    assert remembered.get("replay:glioblastoma") is Sideband.LOWER
    station.switch_camera("replay:glioblastoma")
    assert open_station(load_settings(given), remembered).tuning.now.sideband is Sideband.LOWER


def test_optics_that_are_stated_travel_with_the_next_frame_and_are_each_cameras_own(bench: Bench) -> None:
    next_frame(bench, "a")
    answer = bench.client.put("/api/v1/camera/optics", json={"magnification": 40, "refractive_index": 1.33}).json()
    assert answer["camera"]["optics"]["object_pixel_m"] == pytest.approx(0.1e-6)
    assert answer["stated_optics"]["magnification"] == 40
    said = next_frame(bench, "a").frame.optics
    assert said == replace(WIDE, magnification=40.0, refractive_index=1.33)
    bench.station.switch_camera("b")
    assert next_frame(bench, "b").frame.optics == WIDE
    bench.station.switch_camera("a")
    assert next_frame(bench, "a").frame.optics == said
    assert bench.client.put("/api/v1/camera/optics", json={}).status_code == 200
    assert next_frame(bench, "a").frame.optics == WIDE


def test_optics_that_no_microscope_has_are_refused_and_change_nothing(bench: Bench) -> None:
    for body in ({"wavelength_nm": 5}, {"pixel_um": 1e9}, {"na": 3}, {"colour": 1}):
        assert bench.client.put("/api/v1/camera/optics", json=body).status_code == 422
    assert next_frame(bench, "a").frame.optics == WIDE
