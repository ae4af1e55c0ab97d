"""When a training ends before its epochs are done, and what a user hears of it meanwhile."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'qpi-live[train]'")

from qpi_live.models.nets.connections import random_connections  # noqa: E402
from qpi_live.models.training import loop  # noqa: E402
from qpi_live.models.training.checkpoint import NetSpec  # noqa: E402
from qpi_live.models.training.plan import TrainingPlan  # noqa: E402
from qpi_live.models.training.run_folder import LAST  # noqa: E402
from qpi_live.models.training.simulate import simulate_pairs  # noqa: E402
from qpi_live.models.training.train import train  # noqa: E402

from tests.models.small_network import BENCH  # noqa: E402

PAIRS = 24
SPEC = NetSpec("nasprnet", random_connections(20, 1))
PLAN = TrainingPlan(crop=64, batch=1, epochs=2, validation_frames=1, threads=1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    simulate_pairs(replace(BENCH, shape=(64, 64)), folder / "set", {"train": PAIRS, "validation": 1}, seed=1)
    return folder / "set"


def test_training_whose_time_is_over_ends_within_the_epoch(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = count()
    monkeypatch.setattr(loop, "monotonic", lambda: 10 * next(clock))  # ten seconds each time that it is asked
    done = train(tmp_path, pairs, SPEC, replace(PLAN, minutes=1.0))
    assert done.epoch == 1
    assert 0 < done.samples < PAIRS
    assert f"epoch 1, samples {done.samples}" in capsys.readouterr().out  # there is no terminal for a bar


def test_training_that_diverges_ends_with_one_sentence_and_saves_nothing(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a finite loss, got nan in epoch 1: .* lower --learning-rate"):
        train(tmp_path, pairs, SPEC, replace(PLAN, learning_rate=1e30))
    assert not (tmp_path / LAST).exists()
