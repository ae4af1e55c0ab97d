"""Averages of live frames over REST, the stream and the Python client."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.models.analysis.averaging import Average
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.station import Station
from qpi_live.service.wire import FrameHeader, unpack

from tests.fakes import FakeCamera
from tests.models.analysis.discs import caps
from tests.models.fringes import interferogram
from tests.service.stations import Bench, Serving, until
from tests.service.watching import frame_bytes

SHAPE = (128, 160)
API = "/api/v1"


def _shown(height_rad: float) -> NDArray[np.uint8]:
    return interferogram(caps(SHAPE, [(60, 70, 30, height_rad)]).astype(np.float64))


def _layer(bench: Bench, layer: str, **params: object) -> tuple[NDArray[np.float32], FrameHeader]:
    answer = bench.client.get(f"{API}/frames/latest", params={"layer": layer, **params})
    assert answer.status_code == 200, answer.text
    return np.load(BytesIO(answer.content)), FrameHeader.model_validate_json(answer.headers["QPI-Frame"])


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(open_engine("goldstein", EngineOptions(threads=1)), FakeCamera(SHAPE))


def _averaging(bench: Bench, frames: int) -> dict[str, Any]:
    answer = bench.client.put(f"{API}/averaging", json={"frames": frames})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def _average_over(bench: Bench, frames: int, height_rad: float) -> None:
    """Send frames, each once the one before is in the mean: what comes sooner may be skipped, and is counted."""
    for number in range(1, frames + 1):
        bench.frames(shown=_shown(height_rad))
        until(lambda number=number: bench.station.averager.frames == number)


def test_mean_and_fluctuation_are_those_of_the_frames_since_it_was_asked_for(bench: Bench) -> None:
    bench.frames(shown=_shown(6))
    _averaging(bench, 8)
    phases = []
    for height in (3.0, 3.4, 3.8):
        [live] = bench.frames(shown=_shown(height))
        until(lambda: bench.client.get(f"{API}/averaging").json()["averaged_frames"] == len(phases) + 1)
        phases.append(live.phase.phase_rad - np.median(live.phase.phase_rad))
    mean, header = _layer(bench, "mean")
    assert (header.averaged_frames, header.unit, header.sequence) == (3, "rad", 3)
    assert mean - np.median(mean) == pytest.approx(np.mean(phases, axis=0), abs=0.03)
    fluctuation, _ = _layer(bench, "fluctuation")
    assert fluctuation == pytest.approx(np.std(phases, axis=0), abs=0.03)
    assert {"mean", "fluctuation"} <= set(bench.client.get(f"{API}/stats").json()["layers"])
    bench.assert_exact()


def test_change_is_counted_from_the_reference_and_nothing_else(bench: Bench) -> None:
    assert bench.client.put(f"{API}/averaging/reference").status_code == 503
    [before] = bench.frames(shown=_shown(3))
    refused = bench.client.get(f"{API}/frames/latest", params={"layer": "change"})
    assert (refused.status_code, "take one" in refused.json()["detail"]) == (409, True)
    taken = bench.client.put(f"{API}/averaging/reference").json()["reference"]
    assert (taken["sequence"], taken["averaged_frames"], taken["resting"]) == (0, 1, None)
    [after] = bench.frames(shown=_shown(4))
    change, _ = _layer(bench, "change")
    expected = after.phase.phase_rad - before.phase.phase_rad
    assert change == pytest.approx(expected - np.median(expected), abs=1e-4)
    assert change[60, 70] == pytest.approx(1, abs=0.1)
    assert bench.client.delete(f"{API}/averaging/reference").json()["reference"] is None
    assert bench.client.get(f"{API}/frames/latest", params={"layer": "change"}).status_code == 409


def test_averaging_that_is_off_costs_nothing_and_says_what_turns_it_on(bench: Bench) -> None:
    bench.frames(3, shown=_shown(3))
    until(lambda: bench.client.get(f"{API}/averaging").json()["account"]["dropped"].get("not asked for", 0) >= 1)
    refused = bench.client.get(f"{API}/frames/latest", params={"layer": "mean"})
    assert refused.status_code == 409
    assert "PUT /averaging" in refused.json()["detail"]
    for wrong in ({"frames": 0}, {"frames": 10**6}, {}, {"frames": 2, "more": 1}):
        assert bench.client.put(f"{API}/averaging", json=wrong).status_code == 422
    bench.assert_exact()


def test_mean_begins_anew_with_another_sign_and_the_reference_rests(bench: Bench) -> None:
    _averaging(bench, 8)
    _average_over(bench, 2, height_rad=3)
    bench.client.put(f"{API}/averaging/reference")
    taken = bench.client.get(f"{API}/engine").json()["engine"]["detail"]["sideband_taken"]
    other = "lower" if taken == "upper" else "upper"
    assert bench.client.put(f"{API}/engine/sideband", json={"sideband": other}).status_code == 200
    bench.frames(shown=_shown(3))
    _, header = _layer(bench, "mean")
    assert header.averaged_frames == 1
    assert "take one anew" in bench.client.get(f"{API}/averaging").json()["reference"]["resting"]
    assert bench.client.get(f"{API}/frames/latest", params={"layer": "change"}).status_code == 409


def test_stream_sends_the_mean_that_rest_gives(bench: Bench) -> None:
    _averaging(bench, 4)
    _average_over(bench, 3, height_rad=3)
    address = f"{API}/stream?layer=mean"
    with bench.client.websocket_connect(address, headers={"host": "127.0.0.1"}) as stream:
        frame = unpack(frame_bytes(stream))
    assert frame.header.layer == "mean"
    assert frame.payload == pytest.approx(_layer(bench, "mean")[0], abs=1e-6)


def test_client_averages_and_compares(make_station: Callable[..., Station], serve: Serving) -> None:
    camera = FakeCamera(SHAPE)
    station = make_station(camera, open_engine("goldstein", EngineOptions(threads=1)))
    with PhaseClient(serve(station)) as client:
        with pytest.raises(ServiceError, match="none has come yet"):
            client.measuring.take_reference()
        assert client.measuring.average(4)["frames"] == 4
        camera.send(shown=_shown(3))
        until(lambda: station.averager.frames == 1)
        assert client.measuring.take_reference()["reference"]["averaged_frames"] == 1
        assert np.abs(client.latest("change").payload).max() < 1e-6
        assert client.measuring.drop_reference()["reference"] is None
        assert client.measuring.average(1)["averaged_frames"] == 0


def test_frames_that_cannot_be_averaged_are_counted_and_said_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without_memory(*_: object) -> None:
        raise MemoryError("no room for another frame")

    bench.frames(shown=_shown(3))
    with monkeypatch.context() as patch:
        patch.setattr(Average, "add", without_memory)
        _averaging(bench, 4)
        bench.frames(3, shown=_shown(3))
        until(lambda: bench.station.averager.account.in_flight == 0)
    account = bench.station.averager.account
    assert account.is_exact
    assert sum(account.failed.values()) > 0
    assert len([one for one in caplog.records if "could not be averaged" in one.message]) == 1
    _average_over(bench, 2, 3.0)
