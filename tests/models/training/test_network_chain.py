"""Pairs → search → prune → train → evaluate → export → engine, by the commands, on a tiny configuration."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'qpi-live[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'qpi-live[train]'")

from qpi_live.camera.frame import Frame  # noqa: E402
from qpi_live.camera.optics import Optics  # noqa: E402
from qpi_live.camera.simulation.instrument import Fringes, Instrument, Sensor  # noqa: E402
from qpi_live.models.artifacts.agreement import Probe  # noqa: E402
from qpi_live.models.artifacts.checksum import sha256  # noqa: E402
from qpi_live.models.engine import EngineOptions, open_engine  # noqa: E402
from qpi_live.models.engines.onnx import OnnxEngine  # noqa: E402
from qpi_live.models.errors import EngineUnavailable, InferenceError  # noqa: E402
from qpi_live.models.export.onnx_file import ExportError, GreyToPhase, export  # noqa: E402
from qpi_live.models.nets.connections import ALL_CONNECTIONS, load_connections  # noqa: E402
from qpi_live.models.nets.nas_prnet import NasPRNet  # noqa: E402
from qpi_live.models.training.checkpoint import Checkpoint, CheckpointError, start_from  # noqa: E402
from qpi_live.models.training.pairs import PairSet  # noqa: E402
from qpi_live.models.training.prune import inherited_weights, lowest_threshold, prune  # noqa: E402
from qpi_live.models.training.simulate import parse_mix, simulate_pair  # noqa: E402
from qpi_live.service.cli.main import app  # noqa: E402

from tests.models.random_checkpoint import random_checkpoint  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Instrument(
    shape=(128, 128),
    optics=Optics(532e-9, 3.45e-6, 1.0, 0.0154),
    fringes=Fringes((0.25, 0.22), contrast=0.7),
    sensor=Sensor(full_well_e=4000),
    name="tiny bench",
)
# One thread: two wait for each other longer than they work on crops this small.
FEW = ["--crop", "64", "--threads", "1", "--learning-rate", "0.004"]
EPOCHS = 4
AT_MOST = 12  # connections: of the whole chain, exporting them takes longest


def qpi(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the commands write, in one folder."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "bench.json").write_text(BENCH.to_json())
    sizes = ["--training", 8, "--validation", 4, "--test", 3, "--processes", 1]
    qpi("pairs", folder / "bench.json", folder / "pairs", *sizes)
    qpi("search", folder / "pairs", folder / "search", "--epochs", 2, *FEW)
    qpi("prune", folder / "search" / "best.pt", folder / "connections.json", "--at-most", AT_MOST)
    graph = ["--connections", folder / "connections.json", "--search", folder / "search" / "best.pt"]
    qpi("train", folder / "pairs", folder / "train", *graph, "--epochs", EPOCHS, *FEW)
    qpi("export", folder / "train" / "last.pt", folder / "tiny.onnx", "--data", folder / "pairs", "--probes", 4)
    return folder


def frame(pixels: np.ndarray, bit_depth: int = 8) -> Frame:
    return Frame(pixels, bit_depth, 0, captured_ns=0, captured_monotonic_ns=0)


def test_prune_after_a_search_writes_a_graph_that_is_small_enough_and_its_drawing(chain: Path) -> None:
    connections = load_connections(chain / "connections.json")
    assert 1 <= len(connections) <= AT_MOST
    drawing = (chain / "connections.svg").read_text()
    assert drawing.count("marker-end") == len(connections)
    assert f"{len(connections)} connections" in drawing


def test_prune_threshold_drops_exactly_the_weights_below_it(chain: Path) -> None:
    checkpoint = Checkpoint.load(chain / "search" / "last.pt")
    checkpoint.model["weights"] = torch.ones(100)
    checkpoint.model["weights"][3] = 0.49
    assert set(ALL_CONNECTIONS) - set(prune(checkpoint)) == {ALL_CONNECTIONS[3]}


def test_lowest_threshold_leaves_as_many_connections_as_fit(chain: Path) -> None:
    checkpoint = Checkpoint.load(chain / "search" / "last.pt")
    checkpoint.model["weights"] = torch.linspace(0.9, 0.1, 100)
    threshold = lowest_threshold(checkpoint, 39)
    assert len(prune(checkpoint, threshold)) <= 39
    weights = checkpoint.model["weights"]
    assert len(prune(checkpoint, float(weights[weights < threshold].max()))) > 39


def test_inherited_weights_of_an_unpruned_search_give_the_super_nets_own_phase(chain: Path) -> None:
    checkpoint = Checkpoint.load(chain / "search" / "last.pt")
    net = NasPRNet(ALL_CONNECTIONS)
    start_from(net, inherited_weights(checkpoint, ALL_CONNECTIONS))
    interferogram = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(net.eval()(interferogram), checkpoint.network()(interferogram), atol=1e-5, rtol=0)


def test_search_weights_stay_in_zero_to_one(chain: Path) -> None:
    weights = Checkpoint.load(chain / "search" / "last.pt").model["weights"]
    assert weights.shape == (100,)
    assert 0 <= weights.min() <= weights.max() <= 1


def test_training_loss_falls_and_every_epoch_is_logged(chain: Path) -> None:
    with (chain / "train" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [*range(1, EPOCHS + 1)]
    losses = [float(row["loss"]) for row in rows]
    assert min(losses[1:]) < losses[0]


def test_training_resumed_after_a_stop_gives_the_weights_of_one_that_was_not_stopped(chain: Path) -> None:
    run, connections = chain / "resumed", chain / "connections.json"
    words = ["train", chain / "pairs", run, "--connections", connections, "--search", chain / "search" / "best.pt"]
    qpi(*words, "--epochs", EPOCHS, *FEW, "--stop-after", 2)
    assert Checkpoint.load(run / "last.pt").epoch == 2
    qpi(*words, "--epochs", EPOCHS, *FEW)
    straight = Checkpoint.load(chain / "train" / "last.pt").model
    resumed = Checkpoint.load(run / "last.pt").model
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value, msg=name)


def test_training_with_frozen_batch_norm_keeps_the_statistics_and_moves_the_weights(chain: Path) -> None:
    graph = ["--connections", chain / "connections.json", "--start", chain / "train" / "last.pt"]
    qpi("train", chain / "pairs", chain / "frozen", *graph, "--epochs", 1, "--freeze-batch-norm-from", 0, *FEW)
    before, after = (Checkpoint.load(chain / run / "last.pt") for run in ("train", "frozen"))
    statistics = [name for name in before.model if "running" in name]
    assert statistics
    assert all(torch.equal(before.model[name], after.model[name]) for name in statistics)
    assert not torch.equal(before.model["encoder.stem.0.weight"], after.model["encoder.stem.0.weight"])
    assert after.record.batch_norm_frozen


def test_training_freezes_batch_norm_at_the_part_of_the_run_that_was_asked(chain: Path) -> None:
    words = ["train", chain / "pairs", chain / "half", "--connections", chain / "connections.json", *FEW]
    frozen, statistics = [], []
    for epoch in (1, 2, 3):
        qpi(*words, "--epochs", 4, "--freeze-batch-norm-from", 0.5, "--stop-after", epoch)
        last = Checkpoint.load(chain / "half" / "last.pt")
        frozen.append(last.record.batch_norm_frozen)
        statistics.append(last.model["encoder.stem.1.running_mean"])
    assert frozen == [False, False, True]
    assert not torch.equal(statistics[0], statistics[1])
    torch.testing.assert_close(statistics[1], statistics[2])  # settled by the validation before, on the same crops


def test_pairs_mix_gives_the_conditions_asked_for_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(BENCH.to_json())
    sizes = ["--training", 6, "--validation", 2, "--test", 1, "--processes", 1]
    qpi("pairs", tmp_path / "bench.json", tmp_path / "pairs", *sizes, "--mix", "dense=1, harsh=4")
    conditions = json.loads((tmp_path / "pairs" / "manifest.json").read_text())["conditions"]
    assert set(conditions) == {"dense", "harsh"}
    assert conditions.count("harsh") > conditions.count("dense")


@pytest.mark.parametrize("mix", ["foggy=1", "nominal", "nominal=-1", "nominal=inf", ""])
def test_mix_that_cannot_be_is_refused(mix: str) -> None:
    with pytest.raises(ValueError, match="expected CONDITION=SHARE"):
        parse_mix(mix)


def test_checkpoint_that_holds_code_is_refused_without_running_it(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "went off",))

    torch.save({"format": "qpi checkpoint 2", "net": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(CheckpointError, match="more than tensors"):
        Checkpoint.load(tmp_path / "bomb.pt")
    assert not (tmp_path / "went off").exists()


def test_run_of_another_network_in_the_same_folder_is_refused(chain: Path) -> None:
    result = CliRunner().invoke(
        app, ["train", str(chain / "pairs"), str(chain / "train"), "--net", "narrow-unet", *FEW]
    )
    assert result.exit_code == 2
    assert "name another folder" in result.output


def test_evaluate_scores_network_and_classical_chain_on_the_same_frames(chain: Path) -> None:
    output = qpi("evaluate", chain / "pairs", chain / "report", chain / "tiny.onnx")
    with (chain / "report" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"tiny", "classical", "classical-calibrated"}
    assert len(rows) == 3 * len(PairSet(chain / "pairs", "test"))
    assert "classical-calibrated" in output
    assert len(list((chain / "report").glob("*.png"))) == 9


def test_engine_of_the_exported_file_gives_what_torch_gives(chain: Path) -> None:
    engine = open_engine(str(chain / "tiny.onnx"), EngineOptions(threads=2), may_be_file=True)
    engine.warm_up((128, 128), 8)
    pixels = PairSet(chain / "pairs", "test").pixels(0)
    result = engine.retrieve(frame(pixels))
    net = GreyToPhase(Checkpoint.load(chain / "train" / "last.pt").network(), 8)
    with torch.inference_mode():
        expected = net(torch.from_numpy(pixels.copy())).numpy()
    np.testing.assert_allclose(result.phase_rad, expected, atol=1e-3)
    assert result.quality.warning is None
    assert engine.identity.detail["instrument"] == "tiny bench"


def test_engine_takes_any_size_its_strides_allow_and_refuses_others(chain: Path) -> None:
    engine = OnnxEngine(EngineOptions(threads=2), chain / "tiny.onnx")
    engine.warm_up((160, 224), 8)
    with pytest.raises(EngineUnavailable, match="divides, got 150 × 128"):
        engine.warm_up((150, 128), 8)
    with pytest.raises(EngineUnavailable, match="of 8 bit"):
        engine.warm_up((128, 128), 12)
    with pytest.raises(InferenceError, match="divides"):
        engine.retrieve(frame(np.zeros((150, 128), np.uint8)))


def test_engine_on_other_fringes_warns(chain: Path) -> None:
    other = simulate_pair(replace(BENCH, fringes=Fringes((-0.1, 0.3), 0.7)), "nominal", 1)
    engine = OnnxEngine(EngineOptions(threads=2), chain / "tiny.onnx")
    warning = engine.retrieve(frame(other.pixels)).quality.warning
    assert warning is not None
    assert "trained for fringes of 3.00 px" in warning
    assert "--engine goldstein" in warning


def test_export_that_disagrees_with_torch_writes_nothing(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qpi_live.models.export.onnx_file._LARGEST_DIFFERENCE_RAD", 0.0)
    probes = [Probe(PairSet(chain / "pairs", "test").pixels(n)) for n in range(2)]
    with pytest.raises(ExportError, match="nothing was written"):
        export(random_checkpoint(probes[0].pixels), chain / "refused.onnx", probes, shape=(128, 128))
    assert not list(chain.glob("refused.onnx*"))


def test_export_writes_the_checksum_that_the_network_is_checked_by(chain: Path) -> None:
    network = chain / "tiny.onnx"
    digest, name = network.with_name("tiny.onnx.sha256").read_text().split()
    assert (digest, name) == (sha256(network.read_bytes()), "tiny.onnx")


def test_export_to_int8_of_one_size_gives_a_smaller_file_that_says_so(chain: Path) -> None:
    last = chain / "train" / "last.pt"
    one = ["--data", chain / "pairs", "--precision", "int8", "--probes", 4, "--size", 128]
    said = qpi("export", last, chain / "int8.onnx", *one)
    assert said.startswith(f"Exporting {last} and comparing it with torch on 4 frames")
    assert (chain / "int8.onnx").stat().st_size < 0.5 * (chain / "tiny.onnx").stat().st_size
    engine = OnnxEngine(EngineOptions(), chain / "int8.onnx")
    assert (engine.network.precision, engine.network.shape) == ("int8", (128, 128))
    with pytest.raises(EngineUnavailable, match="128 × 128"):
        engine.warm_up((160, 224), 8)


def test_export_tells_nothing_of_the_machine_that_made_it(chain: Path) -> None:
    assert b'.py", line' not in (chain / "tiny.onnx").read_bytes()


def test_network_file_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"not a network")
    with pytest.raises(EngineUnavailable, match="expected an ONNX network"):
        OnnxEngine(EngineOptions(), tmp_path / "noise.onnx")
    with pytest.raises(EngineUnavailable, match="no such file"):
        OnnxEngine(EngineOptions(), tmp_path / "missing.onnx")


def test_instrument_file_inside_the_network_is_the_one_it_was_trained_for(chain: Path) -> None:
    network = OnnxEngine(EngineOptions(), chain / "tiny.onnx").network
    assert network.instrument == BENCH
    assert network.connections == tuple(json.loads((chain / "connections.json").read_text())["connections"])
