"""Networks of one's own: adding, promoting, rolling back, and that nothing half done can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.models.artifacts.background_network import SHIPPED as BACKGROUND
from qpi_live.models.artifacts.promotions import Figures, Kind, Promotion, PromotionError, now
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.onnx import OnnxEngine
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.promotion.registry import Entry, Registry

from tests.models.small_network import small_network, written

FIGURES = Figures(
    psnr_db={"nominal": 20.0}, seen_on="simulated", difference_rad=0.1, largest_difference_rad=0.2, latency_ms=1.0
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A folder with two networks, `first` and `second`, of which none is promoted."""
    registry = Registry(tmp_path / "networks")
    for name, brightness in (("first", 1.0), ("second", 0.5)):
        registry.add(written(tmp_path, small_network(brightness=brightness), f"{name}.onnx"))
    return registry


def promote(registry: Registry, name: str) -> Entry:
    entry = registry.named(name)
    before = registry.promotions.in_force(entry.kind)
    new = Promotion(name=name, sha256=entry.sha256, promoted_at=now(), over="nasprnet", figures=FIGURES)
    registry.promotions.promote(entry.kind, new, before)
    return entry


def test_registry_of_a_folder_that_is_not_there_has_the_shipped_networks(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "nothing")
    entries, refusals = registry.all()
    assert [(entry.name, entry.kind) for entry in entries] == [("nasprnet", "network"), ("learned", "background")]
    assert refusals == {}
    assert registry.in_force(Kind.NETWORK).path == OnnxEngine(EngineOptions(threads=1)).path
    assert registry.promotions.version is None
    assert not (tmp_path / "nothing").exists()


def test_registry_lists_each_network_with_card_and_checksum_and_says_what_is_none(registry: Registry) -> None:
    (registry.folder / "rubbish.onnx").write_bytes(b"no network")
    entries, refusals = registry.all()
    own = {entry.name: entry for entry in entries[2:]}
    assert set(own) == {"first", "second"}
    assert own["first"].instrument == "tiny bench"
    assert own["first"].sha256 != own["second"].sha256
    assert (registry.folder / "first.onnx.sha256").read_text().startswith(own["first"].sha256)
    assert "expected an ONNX network" in refusals["rubbish"]


def test_add_of_a_name_that_is_taken_by_other_bytes_is_refused_and_of_the_same_bytes_is_not(
    registry: Registry, tmp_path: Path
) -> None:
    before = (registry.folder / "first.onnx").read_bytes()
    assert registry.add(tmp_path / "first.onnx").name == "first"
    with pytest.raises(ValueError, match="another network has"):
        registry.add(tmp_path / "second.onnx", "first")
    with pytest.raises(ValueError, match="shipped network's"):
        registry.add(tmp_path / "first.onnx", "nasprnet")
    with pytest.raises(ValueError, match="letters, digits"):
        registry.add(tmp_path / "first.onnx", "../first")
    assert (registry.folder / "first.onnx").read_bytes() == before


def test_add_of_a_damaged_file_leaves_the_folder_as_it_was(registry: Registry, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes((tmp_path / "first.onnx").read_bytes()[:-100])
    with pytest.raises(EngineUnavailable, match="expected an ONNX network"):
        registry.add(damaged)
    assert sorted(path.name for path in registry.folder.glob("*.onnx")) == ["first.onnx", "second.onnx"]


def test_add_of_a_background_can_be_promoted_beside_a_network(registry: Registry) -> None:
    registry.add(BACKGROUND, "mine")
    promote(registry, "mine")
    promote(registry, "first")
    assert registry.promotions.file(Kind.BACKGROUND) == registry.folder / "mine.onnx"
    assert registry.promotions.file(Kind.NETWORK) == registry.folder / "first.onnx"


def test_rollback_gives_back_exactly_what_was_before_and_keeps_the_history(registry: Registry) -> None:
    first = promote(registry, "first")
    versions = [registry.promotions.version]
    promote(registry, "second")
    versions.append(registry.promotions.version)
    assert registry.roll_back(Kind.NETWORK) == first
    assert registry.in_force(Kind.NETWORK) == first
    versions.append(registry.promotions.version)
    assert registry.roll_back(Kind.NETWORK).name == "nasprnet"
    assert registry.promotions.file(Kind.NETWORK) is None
    with pytest.raises(PromotionError, match="expected a promotion to roll back"):
        registry.roll_back(Kind.NETWORK)
    done = [(step.done, step.name) for step in registry.promotions.history.steps]
    assert done == [
        ("promoted", "first"),
        ("promoted", "second"),
        ("rolled back to", "first"),
        ("rolled back to", "nasprnet"),
    ]
    assert len(set(versions)) == 3


def test_promotion_while_another_one_came_between_is_refused(registry: Registry) -> None:
    entry = registry.named("first")
    promote(registry, "second")
    new = Promotion(name="first", sha256=entry.sha256, promoted_at=now(), over="nasprnet", figures=FIGURES)
    with pytest.raises(PromotionError, match="promote again"):
        registry.promotions.promote(Kind.NETWORK, new, None)
    assert registry.in_force(Kind.NETWORK).name == "second"


def test_network_that_was_altered_after_its_promotion_is_not_used(registry: Registry, tmp_path: Path) -> None:
    promote(registry, "first")
    promote(registry, "second")
    (registry.folder / "second.onnx").write_bytes((tmp_path / "first.onnx").read_bytes())
    with pytest.raises(EngineUnavailable, match="as it was promoted"):
        registry.promotions.file(Kind.NETWORK)
    assert registry.roll_back(Kind.NETWORK).name == "first"


def test_rollback_to_a_network_that_is_gone_is_refused_and_changes_nothing(registry: Registry) -> None:
    promote(registry, "first")
    promote(registry, "second")
    (registry.folder / "first.onnx").unlink()
    with pytest.raises(EngineUnavailable, match="No such file"):
        registry.roll_back(Kind.NETWORK)
    assert registry.in_force(Kind.NETWORK).name == "second"


def test_promotions_in_a_damaged_file_are_refused_with_its_name(registry: Registry) -> None:
    promote(registry, "first")
    (registry.folder / "promotions.json").write_text('{"format": "qpi promotions 1", "promoted": 7}')
    with pytest.raises(EngineUnavailable, match=r"promotions\.json.*damaged"):
        registry.in_force(Kind.NETWORK)


def test_free_name_is_the_name_until_other_bytes_have_it(registry: Registry, tmp_path: Path) -> None:
    assert registry.free_name("third", tmp_path / "first.onnx") == "third"
    assert registry.free_name("first", tmp_path / "first.onnx") == "first"
    assert registry.free_name("first", tmp_path / "second.onnx") == "first-2"
    registry.add(tmp_path / "second.onnx", "first-2")
    assert registry.free_name("first", tmp_path / "second.onnx") == "first-2"
