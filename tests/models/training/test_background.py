"""Cultures → training → export of the learned background, by the commands, on a tiny configuration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'qpi-live[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'qpi-live[train]'")

from qpi_live.camera.optics import Optics  # noqa: E402
from qpi_live.camera.simulation.instrument import Fringes, Instrument  # noqa: E402
from qpi_live.models.artifacts.background_network import BackgroundNetwork  # noqa: E402
from qpi_live.models.errors import EngineUnavailable  # noqa: E402
from qpi_live.models.training.background import BackgroundPlan, Batch, settled, solved, train_background  # noqa: E402
from qpi_live.models.training.background_maps import GRID, draw  # noqa: E402
from qpi_live.models.training.checkpoint import Checkpoint, CheckpointError  # noqa: E402
from qpi_live.models.training.cultures import CultureSet, render_culture  # noqa: E402
from qpi_live.models.training.pairs import DataError  # noqa: E402
from qpi_live.service.cli.main import app  # noqa: E402

TINY = BackgroundPlan(epochs=2, steps=2, batch=2, validation_maps=2, threads=1)


def qpi(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def cultures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("background") / "cultures"
    qpi("cultures", folder, "--training", 2, "--validation", 1, "--seed", 3, "--processes", 1)
    return folder


@pytest.fixture(scope="module")
def trained(cultures: Path) -> Path:
    """A run of two epochs, without a stop."""
    train_background(cultures.parent / "straight", cultures, TINY)
    return cultures.parent / "straight"


def test_cultures_of_a_seed_are_the_same_wherever_they_are_rendered(cultures: Path) -> None:
    assert np.array_equal(CultureSet(cultures, "train").phase_rad(1), render_culture(3, 1).astype(np.float32))
    assert np.array_equal(CultureSet(cultures, "validation").phase_rad(0), render_culture(3, 2).astype(np.float32))


def test_cultures_into_a_finished_folder_are_refused(cultures: Path) -> None:
    result = CliRunner().invoke(app, ["cultures", str(cultures)])
    assert result.exit_code != 0
    assert "which has some; name another" in result.output


def test_culture_set_of_another_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`qpi cultures` makes one"):
        CultureSet(tmp_path, "train")


def test_background_training_that_diverges_ends_with_one_sentence_and_saves_nothing(
    cultures: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"expected a finite loss, got nan in epoch 1: .* lower --learning-rate"):
        train_background(tmp_path, cultures, replace(TINY, learning_rate=1e30, steps=20))
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".pt"]


def test_draw_of_many_maps_leaves_noise_once_sample_and_truth_are_off(cultures: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        drawn = draw(CultureSet(cultures, "train"), rng)
        truth = (drawn.missing @ GRID.orthonormal).reshape(128, 128)
        rest = (drawn.means_rad - drawn.sample_rad - truth)[drawn.valid > 0]
        assert rest.std() < 1.2  # the largest unfitted aberration
        assert abs(rest.mean()) < 0.5
        assert not drawn.means_rad[drawn.valid == 0].any()


def test_draw_makes_what_the_issue_of_a_background_is_made_of(cultures: Path) -> None:
    rng = np.random.default_rng(1)
    drawn = [draw(CultureSet(cultures, "train"), rng) for _ in range(100)]
    share = lambda yes: np.mean([bool(yes(one)) for one in drawn])  # noqa: E731
    assert share(lambda one: one.sample_rad.min() < -0.3) > 0.25  # objects that advance the light
    assert share(lambda one: one.valid.min() == 0) > 0.1  # round fields, strips
    assert share(lambda one: np.mean(np.abs(one.sample_rad) < 0.1) < 0.08) > 0.1  # hardly any background


def test_solved_and_settled_in_torch_are_what_the_service_finds(cultures: Path) -> None:
    rng = np.random.default_rng(2)
    drawn = [draw(CultureSet(cultures, "train"), rng) for _ in range(8)]
    log_weight = rng.normal(0, 2, (8, 1, 128, 128)).astype(np.float32)
    guessed = np.stack([one.sample_rad for one in drawn])[:, None] * np.float32(0.9)
    given = Batch.of(drawn), torch.from_numpy(log_weight), torch.from_numpy(guessed)
    here, settled_here = solved(*given).numpy(), settled(*given).numpy()
    for n, one in enumerate(drawn):
        maps = one.means_rad - guessed[n, 0], log_weight[n, 0], one.valid
        assert np.abs(here[n] - GRID.to_orthonormal(GRID.solve(*maps))).max() < 2e-3
        assert np.abs(settled_here[n] - GRID.to_orthonormal(GRID.settle(*maps).values)).max() < 2e-2


def test_training_that_was_stopped_goes_on_to_the_same_weights(cultures: Path, trained: Path, tmp_path: Path) -> None:
    plan = BackgroundPlan(epochs=2, steps=2, batch=2, validation_maps=2, threads=1, stop_after=1)
    train_background(tmp_path, cultures, plan)
    assert Checkpoint.load(tmp_path / "last.pt").epoch == 1
    train_background(tmp_path, cultures, TINY)
    resumed, straight = (Checkpoint.load(run / "last.pt") for run in (tmp_path, trained))
    assert resumed.epoch == straight.epoch == 2
    for name, value in straight.model.items():
        assert torch.allclose(resumed.model[name], value, atol=1e-6), name
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


def test_training_in_the_folder_of_another_network_is_refused(cultures: Path, tmp_path: Path, trained: Path) -> None:
    other = Checkpoint.load(trained / "last.pt")
    Checkpoint(type(other.spec)("unet"), {}).save(tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="got one of unet; name another folder"):
        train_background(tmp_path, cultures, TINY)


def test_train_command_with_net_background_trains_it(cultures: Path, tmp_path: Path, trained: Path) -> None:
    few = ["--epochs", 1, "--minutes", 0.02, "--batch", 1, "--threads", 1, "--start", trained / "best.pt"]
    qpi("train", cultures, tmp_path / "run", "--net", "background", *few)
    checkpoint = Checkpoint.load(tmp_path / "run" / "last.pt")
    assert checkpoint.spec.name == "background"
    assert checkpoint.record.started_from == str(trained / "best.pt")


def test_export_agrees_with_torch_and_carries_its_card(cultures: Path, trained: Path, tmp_path: Path) -> None:
    said = qpi("export", trained / "last.pt", tmp_path / "tiny.onnx", "--data", cultures)
    assert "rad from torch" in said
    network = BackgroundNetwork(tmp_path / "tiny.onnx")
    assert (network.card.cultures, network.card.samples) == (2, 8)
    assert network.card.origin == "random weights"


def test_evaluate_measures_a_learned_background_beside_the_classical_chain(tmp_path: Path) -> None:
    instrument = Instrument(
        shape=(128, 128), optics=Optics(532e-9, 3.45e-6, 1.0, 0.0154), fringes=Fringes((0.25, 0.22), contrast=0.7)
    )
    (tmp_path / "tiny.json").write_text(instrument.to_json())
    sizes = ["--training", 1, "--validation", 1, "--test", 2, "--processes", 1]
    qpi("pairs", tmp_path / "tiny.json", tmp_path / "pairs", *sizes)
    said = qpi("evaluate", tmp_path / "pairs", tmp_path / "report", "--background", "learned")
    assert "classical-learned" in said
    methods = {row.split(",")[0] for row in (tmp_path / "report" / "scores.csv").read_text().splitlines()[1:]}
    assert methods == {"classical", "classical-calibrated", "classical-learned"}


def test_evaluate_of_nothing_says_what_to_name(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(Instrument(shape=(128, 128)).to_json())
    sizes = ["--training", 1, "--validation", 1, "--test", 1, "--processes", 1]
    qpi("pairs", tmp_path / "tiny.json", tmp_path / "pairs", *sizes)
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "pairs"), str(tmp_path / "report"), "--no-classical"])
    assert result.exit_code != 0
    assert "expected networks or --background" in result.output


def test_background_network_from_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="--background polynomial needs none"):
        BackgroundNetwork(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(EngineUnavailable, match="expected a learned background at"):
        BackgroundNetwork(tmp_path / "text.onnx")
    weights = Path(__file__).parents[3] / "models" / "weights"
    with pytest.raises(EngineUnavailable, match="got a file that says 'qpi onnx 1'"):
        BackgroundNetwork(weights / "nasprnet-int8.onnx")
