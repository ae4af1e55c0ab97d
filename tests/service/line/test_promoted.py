"""A promotion reaches the running service while frames flow, and none is lost; so does a rollback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qpi_live.models.artifacts.promotions import Figures, Kind, Promotion, now
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.promotion.registry import Registry
from qpi_live.service import opening
from qpi_live.service.settings import load_settings

from tests.fakes import FakeCamera, FakeEngine, fringes
from tests.models.small_network import small_network, written
from tests.service.sent.test_over_http import png
from tests.service.stations import Bench, until

FIGURES = Figures(
    psnr_db={"nominal": 20.0}, seen_on="simulated", difference_rad=0.1, largest_difference_rad=0.2, latency_ms=1.0
)


class PatientCamera(FakeCamera):
    """Sends a frame only when there is room for it, so that whatever is lost, is lost by the pipeline."""

    waits_for_consumer = True


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "networks")
    for name, brightness, bit_depth in (("first", 1.0, 8), ("second", 0.5, 8), ("deep", 1.0, 12)):
        registry.add(written(tmp_path, small_network(bit_depth, brightness=brightness), f"{name}.onnx"))
    return registry


def promote(registry: Registry, name: str) -> None:
    entry, before = registry.named(name), registry.promotions.in_force(Kind.NETWORK)
    new = Promotion(name=name, sha256=entry.sha256, promoted_at=now(), over="x", figures=FIGURES)
    registry.promotions.promote(entry.kind, new, before)


@pytest.fixture
def networked(make_bench: Callable[..., Bench], registry: Registry) -> Bench:
    """A running station whose engine `nasprnet` is the promoted network `first`."""
    promote(registry, "first")
    bench = make_bench(FakeEngine(), PatientCamera(), networks=registry.folder)
    assert bench.client.put("/api/v1/engine", json={"engine": "nasprnet"}).status_code == 200
    return bench


def file_of(bench: Bench) -> object:
    return bench.station.engine.identity.detail["file"]


def test_promotion_and_rollback_under_load_lose_and_fail_no_frame(networked: Bench, registry: Registry) -> None:
    station, made_by, sent = networked.station, list[str](), 0
    publish = station.hub.publish

    def noted(live) -> None:  # type: ignore[no-untyped-def]
        made_by.append(str(live.phase.engine.detail["file"]))
        publish(live)

    station.hub.publish = noted  # type: ignore[method-assign]
    for change, file in (
        (lambda: promote(registry, "second"), "second.onnx"),
        (lambda: registry.roll_back(Kind.NETWORK), "first.onnx"),
    ):
        networked.camera.send(150)
        sent += 150
        change()
        until(lambda file=file: file_of(networked) == file)  # type: ignore[misc]
        networked.camera.send(150)
        sent += 150
        until(lambda sent=sent: station.pipeline.account.snapshot().delivered == sent)  # type: ignore[misc]
    account = station.pipeline.account.snapshot()
    assert (account.captured, account.dropped, account.failed, account.in_flight) == (sent, {}, {}, 0)
    assert len(made_by) == sent
    changes = [one for one, other in zip(made_by, ["", *made_by], strict=False) if one != other]
    assert changes == ["first.onnx", "second.onnx", "first.onnx"]
    networked.assert_exact()


def test_promoted_network_makes_the_phase_of_its_own_weights(networked: Bench, registry: Registry) -> None:
    (before,) = networked.frames(1)
    promote(registry, "second")
    until(lambda: file_of(networked) == "second.onnx")
    (after,) = networked.frames(1, shown=np.asarray(before.frame.pixels))
    np.testing.assert_allclose(after.phase.phase_rad, 0.5 * before.phase.phase_rad, atol=1e-5)


def test_promotion_that_does_not_take_the_frames_changes_nothing_and_says_so(
    networked: Bench, registry: Registry
) -> None:
    promote(registry, "deep")
    until(lambda: networked.station.promoted.refusal is not None)
    assert file_of(networked) == "first.onnx"
    note = networked.client.get("/api/v1/engine").json()["note"]
    assert "expected frames of 12 bit" in note
    assert networked.frames(2)[-1].phase.engine.detail["file"] == "first.onnx"
    registry.roll_back(Kind.NETWORK)
    until(lambda: networked.station.promoted.refusal is None)


def test_promotion_leaves_an_engine_that_uses_no_network_alone(
    make_bench: Callable[..., Bench], registry: Registry
) -> None:
    bench = make_bench(networks=registry.folder)
    bench.client.put("/api/v1/engine", json={"engine": "goldstein"})
    engine = bench.station.engine.current
    promote(registry, "first")
    bench.station.promoted.look()
    assert bench.station.engine.current is engine
    answer = bench.client.put("/api/v1/engine", json={"engine": "nasprnet"}).json()
    assert answer["engine"]["detail"]["file"] == "first.onnx"


def test_promotion_while_the_engine_is_being_opened_is_taken_over(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    promote(registry, "first")
    open_engine = opening.open_engine

    def slowly(*asked, **named):  # type: ignore[no-untyped-def]
        opened = open_engine(*asked, **named)
        promote(registry, "second")
        return opened

    monkeypatch.setattr(opening, "open_engine", slowly)
    asked = {
        "camera": "simulated",
        "size": 64,
        "engine": "nasprnet",
        "baseline_fraction": 0,
        "networks": registry.folder,
    }
    station = opening.open_station(load_settings(asked))
    assert station.engine.identity.detail["file"] == "first.onnx"
    station.promoted.look()
    assert station.engine.identity.detail["file"] == "second.onnx"
    station.engine.close()


@pytest.mark.parametrize("engine", ["nasprnet", "auto", "fused"])
def test_service_whose_promoted_network_is_gone_refuses_to_start_in_a_sentence(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    promote(registry, "first")
    (registry.folder / "first.onnx").unlink()
    asked = {"camera": "simulated", "size": 64, "engine": engine, "networks": registry.folder}
    with pytest.raises(EngineUnavailable, match=r"first\.onnx among your networks.*qpi models rollback"):
        opening.open_station(load_settings(asked))


@pytest.mark.parametrize("harm", ["gone", "altered", "history"])
def test_promoted_network_that_is_gone_is_in_the_way_of_no_engine_without_one(
    networked: Bench, registry: Registry, harm: str
) -> None:
    networked.frames(1)
    if harm == "gone":
        (registry.folder / "first.onnx").unlink()
    elif harm == "altered":
        (registry.folder / "first.onnx").write_bytes(b"another")
    else:
        (registry.folder / "promotions.json").write_text("{")
    body = png(fringes((128, 160), 0))
    for path in ("phase?engine=goldstein", "compare?a=goldstein&b=goldstein"):
        assert networked.client.post(f"/api/v1/{path}", content=body).status_code == 200
    refused = networked.client.post("/api/v1/phase?engine=nasprnet", content=body)
    assert refused.status_code == 422
    assert str(registry.folder) not in refused.text
    networked.station.promoted.look()
    assert networked.frames(1)[0].phase.engine.detail["file"] == "first.onnx"  # what runs goes on
    answer = networked.client.put("/api/v1/engine", json={"engine": "goldstein"})
    assert answer.json()["engine"]["name"] == "goldstein"
    back = networked.client.put("/api/v1/engine", json={"engine": "nasprnet"})
    assert back.status_code == 422
    assert "your networks" in back.json()["detail"] or "as it was promoted" in back.json()["detail"]
