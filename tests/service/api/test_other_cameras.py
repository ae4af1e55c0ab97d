"""Switching between cameras while the line runs, and the layers that a simulated one adds."""

from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from qpi_live.service.api.app import build_app
from qpi_live.service.line.remembered import RememberedCameras
from qpi_live.service.opening import open_station
from qpi_live.service.settings import load_settings

from tests.service.stations import URL, until
from tests.service.watching import frame_bytes

RECORDING, SIMULATED = "replay:glioblastoma", "simulated:glioblastoma"


@pytest.fixture
def client(tmp_path: object) -> Iterator[TestClient]:
    settings = load_settings(
        {"size": 128, "fps": 20, "engine": "goldstein", "baseline": "auto", "baseline_fraction": 1.0, "threads": 1}
    )
    station = open_station(settings, RememberedCameras(tmp_path / "sidebands.json"))  # type: ignore[operator]
    with TestClient(build_app(station), base_url=URL) as client:
        until(lambda: client.get("/api/v1/stats").json()["layers"] != [])
        yield client


def _switch(client: TestClient, source: str) -> None:
    assert client.put("/api/v1/camera/source", json={"source": source}).status_code == 200
    until(lambda: client.get("/api/v1/stats").json()["camera"]["source"] == source)


def test_default_cameras_are_the_recording_and_its_simulated_instrument(client: TestClient) -> None:
    answer = client.get("/api/v1/camera").json()
    assert answer["sources"] == [RECORDING, SIMULATED]
    assert answer["camera"]["source"] == RECORDING


def test_switch_brings_the_other_cameras_frames_and_their_truth(client: TestClient) -> None:
    assert client.get("/api/v1/frames/latest?layer=true").status_code == 409
    _switch(client, SIMULATED)
    until(lambda: "true" in client.get("/api/v1/stats").json()["layers"])
    answer = client.get("/api/v1/frames/latest?layer=true&format=npy")
    assert answer.status_code == 200
    assert '"name":"truth"' in answer.headers["QPI-Frame"].replace(" ", "")
    until(lambda: client.get("/api/v1/stats").json()["state"]["name"] == "live")
    _switch(client, RECORDING)
    until(lambda: "true" not in client.get("/api/v1/stats").json()["layers"])


def test_switch_keeps_the_account_exact_and_the_numbers_going(client: TestClient) -> None:
    before = client.get("/api/v1/stats").json()["account"]["captured"]
    for source in (SIMULATED, RECORDING, SIMULATED):
        _switch(client, source)
        account = client.get("/api/v1/stats").json()["account"]
        ended = account["delivered"] + sum(account["dropped"].values()) + sum(account["failed"].values())
        assert account["captured"] == ended + account["in_flight"]
    assert account["captured"] > before


def test_switch_to_what_was_not_opened_is_refused_in_one_sentence(client: TestClient) -> None:
    answer = client.put("/api/v1/camera/source", json={"source": "replay:/etc/passwd"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"expected a camera among {RECORDING}, {SIMULATED}, got")


def test_switch_forgets_the_calibration_frame_of_the_camera_before(client: TestClient) -> None:
    assert client.put("/api/v1/engine/calibration").status_code == 200
    _switch(client, SIMULATED)
    assert client.get("/api/v1/engine").json()["calibration_ns"] is None


def test_stream_of_a_layer_that_frames_lack_counts_them_and_goes_on(client: TestClient) -> None:
    with client.websocket_connect("ws://127.0.0.1/api/v1/stream?layer=true&dtype=uint8") as socket:

        def without_layer() -> int:
            subscribers = client.get("/api/v1/stats").json()["subscribers"]
            return sum(one["account"]["dropped"].get("no such layer", 0) for one in subscribers)

        until(lambda: without_layer() > 0)
        _switch(client, SIMULATED)
        assert b'"layer":"true"' in frame_bytes(socket)[:2000].replace(b" ", b"")


def test_simulated_frames_tell_how_far_both_engines_are_off_the_truth(make_bench) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    from qpi_live.camera.frame import Frame

    from tests.fakes import FakeCamera, FakeEngine

    class KnowingCamera(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            frame = super().read(timeout_s)
            assert frame is not None
            true_rad = frame.pixels.astype(np.float32) / np.float32(10) + np.float32(0.25)
            return replace(frame, true_phase_rad=lambda: true_rad)

    bench = make_bench(camera=KnowingCamera(), baseline=FakeEngine("goldstein"), baseline_fraction=1.0)
    bench.frames()
    until(lambda: bench.client.get("/api/v1/stats").json()["baseline"]["frames"] == 1)
    baseline = bench.client.get("/api/v1/stats").json()["baseline"]
    assert baseline["engine_error_rad"] == pytest.approx(0.25, rel=1e-4)
    assert baseline["baseline_error_rad"] == pytest.approx(0.25, rel=1e-4)
    layers = bench.client.get("/api/v1/stats").json()["layers"]
    assert layers[:5] == ["phase", "wrapped", "interferogram", "baseline", "true"]
    assert layers[5:] == ["gradient", "dic", "darkfield"]
    shown = bench.client.get("/api/v1/frames/latest?layer=baseline")
    assert '"name":"goldstein"' in shown.headers["QPI-Frame"].replace(" ", "")
