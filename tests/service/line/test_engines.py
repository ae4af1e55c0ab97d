"""Changing the engine while frames flow: none is lost, and what cannot be done changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from qpi_live.models.phase_frame import EngineIdentity
from qpi_live.models.sideband import Sideband
from qpi_live.service.cli.engine import ask_engine
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.line import engines as engines_module
from qpi_live.service.station import Station

from tests.fakes import FakeCamera, FakeEngine, TunableFakeEngine
from tests.service.stations import PATIENCE_S, Bench, Serving, until

ENGINE = "/api/v1/engine"


class PatientCamera(FakeCamera):
    """Sends a frame only when there is room for it, so that whatever is lost, is lost by the pipeline."""

    waits_for_consumer = True


def test_engine_changed_under_load_loses_and_fails_no_frame(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(FakeEngine("first"), PatientCamera())
    station, made_by = bench.station, set()
    publish = station.hub.publish
    station.hub.publish = lambda live: (made_by.add(live.phase.engine.name), publish(live))  # type: ignore[method-assign,assignment]
    sent = 0
    for name in ("goldstein", "auto", "goldstein"):
        bench.camera.send(150)
        sent += 150
        answer = bench.client.put(ENGINE, json={"engine": name})
        assert answer.status_code == 200
        assert answer.json()["chosen"] == name
        assert station.pipeline.account.snapshot().is_exact
    bench.camera.send(150)
    sent += 150
    until(lambda: station.pipeline.account.snapshot().delivered == sent)
    account = station.pipeline.account.snapshot()
    assert (account.captured, account.dropped, account.failed, account.in_flight) == (sent, {}, {}, 0)
    assert made_by == {"first", "goldstein"}
    assert bench.engine.closed
    bench.assert_exact()


def test_engine_that_warms_up_does_so_beside_the_stream(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, release, slow = Event(), Event(), FakeEngine("slow")

    def warm_up(shape: tuple[int, int], bit_depth: int) -> None:
        del shape, bit_depth
        entered.set()
        assert release.wait(PATIENCE_S)

    monkeypatch.setattr(slow, "warm_up", warm_up)
    monkeypatch.setattr(engines_module, "open_engine", lambda *_, **__: slow)
    bench = make_bench(FakeEngine("first"))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        change = executor.submit(bench.station.engines.choose, "goldstein")
        assert entered.wait(PATIENCE_S)
        assert {live.phase.engine.name for live in bench.frames(5)} == {"first"}
        release.set()
        change.result(PATIENCE_S)
    assert bench.frames(1)[0].phase.engine.name == "slow"


@pytest.mark.parametrize(
    ("name", "sentence"), [("goldstein-cuda", "expected a GPU"), ("../x.onnx", "expected an engine among auto")]
)
def test_engine_that_cannot_be_opened_changes_nothing(bench: Bench, name: str, sentence: str) -> None:
    answer = bench.client.put(ENGINE, json={"engine": name})
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]
    assert bench.client.get(ENGINE).json()["chosen"] == "auto"
    assert bench.frames(1)[0].phase.engine.name == "fake"
    assert not bench.engine.closed


def test_engine_that_does_not_take_the_frames_changes_nothing(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(camera=FakeCamera((95, 127)))
    answer = bench.client.put(ENGINE, json={"engine": "nasprnet"})
    assert answer.status_code == 422
    assert "expected frames whose height and width" in answer.json()["detail"]
    assert bench.frames(1)[0].phase.engine.name == "fake"


def test_engine_after_a_change_has_the_adjustments_that_were_in_force(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(TunableFakeEngine())
    bench.frames()
    bench.client.put(f"{ENGINE}/sideband", json={"sideband": "lower"})
    bench.client.put(f"{ENGINE}/calibration")
    answer = bench.client.put(ENGINE, json={"engine": "goldstein"}).json()
    assert (answer["engine"]["name"], answer["sideband"]) == ("goldstein", "lower")
    detail = bench.frames()[0].phase.engine.detail
    assert (detail["sideband"], detail["background"]) == ("lower", "calibration frame")


def test_engines_say_which_open_here_and_which_suit_the_stream(bench: Bench) -> None:
    before = {offer["name"]: offer for offer in bench.client.get(ENGINE).json()["engines"]}
    assert before["goldstein"]["opens"] is True
    assert before["nasprnet"]["trusted"] is None  # no frame yet
    bench.frames()
    after = {offer["name"]: offer for offer in bench.client.get(ENGINE).json()["engines"]}
    assert after["goldstein"] == {"name": "goldstein", "opens": True, "why_not": None, "trusted": True, "doubt": None}
    assert after["nasprnet"]["trusted"] is False
    assert "was trained for" in after["nasprnet"]["doubt"]
    assert after["goldstein-cuda"]["opens"] is False
    assert after["goldstein-cuda"]["why_not"]


class ChoosyEngine(TunableFakeEngine):
    """Chooses by its adjustments, as `auto` does."""

    def use_sideband(self, sideband: Sideband) -> None:
        super().use_sideband(sideband)
        name = "network" if sideband == "auto" else "classical"
        self.identity = EngineIdentity(name, "fake", "cpu", "1", {"chosen": "a sideband was chosen"})


def test_sideband_that_makes_auto_take_another_engine_says_so(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(ChoosyEngine("network"))
    answer = bench.client.put(f"{ENGINE}/sideband", json={"sideband": "lower"}).json()
    assert answer["note"] == "The engine is classical from now on, since a sideband was chosen; it was network."
    again = bench.client.put(f"{ENGINE}/sideband", json={"sideband": "upper"}).json()
    assert again["note"] is None
    assert bench.client.get(ENGINE).json()["note"] is None


def test_client_and_command_switch_the_engine_of_a_running_service(
    make_station: Callable[..., Station], serve: Serving
) -> None:
    station = make_station(FakeCamera(), FakeEngine())
    url = serve(station)
    with PhaseClient(url) as client:
        assert client.use_engine("goldstein").engine.name == "goldstein"
        with pytest.raises(ServiceError, match="expected an engine among"):
            client.use_engine("magic")
    sentence, _ = ask_engine(url, "")
    assert sentence == "goldstein on cpu makes the phase."
    assert "makes the phase, since" in ask_engine(url, "auto")[0]
