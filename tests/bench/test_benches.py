"""The benches run as their users run them, on small frames, and end with the JSON line that they document."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from qpi_live.models.errors import EngineUnavailable

ROOT = Path(__file__).parents[2]
PERCENTILES = {"min", "mean", "p50", "p90", "p95", "p99", "max"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def last_line(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert process.returncode == 0, process.stdout + process.stderr
    document = json.loads(process.stdout.splitlines()[-1])
    assert {"cpu", "cores", "commit"} <= document["machine"].keys()
    assert {"python", "numpy", "numba"} <= document["versions"].keys()
    return dict(document)


def test_latency_of_goldstein_reports_stages_throughput_and_floors(tmp_path: Path) -> None:
    kept = tmp_path / "results" / "latency.json"
    process = run("bench/latency.py", "--frames", "10", "--size", "128", "--no-peers", "--json", str(kept))
    document = last_line(process)
    engine = document["engines"]["goldstein"]
    assert engine["latency_ms"].keys() == PERCENTILES
    assert engine["stages_ms"].keys() == {"retrieve", "unwrap", "background"}
    assert engine["floors_ms"].keys() == engine["stages_ms"].keys()
    assert engine["throughput_fps"] > 0
    assert engine["overlapped_uploads"] is None  # on the CPU nothing is uploaded
    assert json.loads(kept.read_text()) == document


def test_latency_with_peers_times_them_on_the_same_frames() -> None:
    pytest.importorskip("skimage", reason="the peers are not installed: pip install 'qpi-live[peers]'")
    pytest.importorskip("qpretrieve", reason="the peers are not installed: pip install 'qpi-live[peers]'")
    document = last_line(run("bench/latency.py", "--frames", "10", "--size", "128"))
    assert "scikit-image unwrap_phase" in document["peers"]
    assert all(peer["latency_ms"].keys() == PERCENTILES for peer in document["peers"].values())


def test_latency_of_a_network_beside_its_matrix_product_leaves_out_what_cannot_run(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="networks' arithmetic is counted with onnx: pip install 'qpi-live[train]'")
    from tests.models.small_network import small_network, written

    network = written(tmp_path, small_network())
    gone = str(tmp_path / "gone.trt")
    asked = ["--engine", str(network), "--engine", gone, "--frames", "10", "--repeats", "2", "--size", "128"]
    document = last_line(run("bench/latency.py", *asked, "--threads", "1", "--no-peers"))
    engine = document["engines"][str(network)]
    assert engine["latency_ms"].keys() == PERCENTILES
    assert 0 < engine["floors_ms"]["network"] < engine["stages_ms"]["network"]["p50"]
    assert len(engine["run_p50_ms"]) == len(engine["run_throughput_fps"]) == 2
    assert document["left_out"].keys() == {gone}
    assert gone in document["left_out"][gone]


def test_latency_on_frames_of_a_networks_own_instrument_lets_the_fused_engine_use_it() -> None:
    own = ("--instrument", "camera/data/glioblastoma.json")
    asked = ("--engine", "fused", "--frames", "10", "--size", "256", "--no-peers")
    networks = [last_line(run("bench/latency.py", *asked, *more))["engines"]["fused"]["identity"] for more in ((), own)]
    assert "rests" in networks[0]["network"]
    assert "rests" not in networks[1]["network"]


def test_latency_of_an_unknown_engine_ends_with_one_sentence() -> None:
    process = run("bench/latency.py", "--engine", "oracle", "--size", "128", "--no-peers")
    assert process.returncode == 2
    assert "expected an engine among" in process.stdout.replace("\n", " ")
    assert "Traceback" not in process.stdout + process.stderr


def test_latency_of_an_engine_that_cannot_be_had_here_says_so_before_it_simulates_frames(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from qpi_live.bench import latency
    from qpi_live.bench.timing import run as latency_run

    def missing(*_: object, **__: object) -> None:
        raise EngineUnavailable("expected TensorRT, got none: pip install 'qpi-live[tensorrt]'")

    (tmp_path / "net.onnx").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latency_run, "open_to_time", missing)
    monkeypatch.setattr(latency_run, "simulated_examples", lambda *_: pytest.fail("frames were simulated for nothing"))
    with pytest.raises(typer.Exit) as ended:
        latency.main(["net.onnx"], size=128)
    assert ended.value.exit_code == 2
    assert "net.onnx is left out: expected TensorRT, got none: pip install" in capsys.readouterr().out


def test_latency_of_a_compiled_network_without_a_gpu_ends_with_one_sentence_at_once(tmp_path: Path) -> None:
    """Within a second, of which what takes one is not loaded: Numba, the service, the simulator."""
    (tmp_path / "made-elsewhere.trt").touch()
    for name in ("gone.trt", "made-elsewhere.trt"):
        process = run("-X", "importtime", "bench/latency.py", "--engine", str(tmp_path / name))
        assert process.returncode == 2
        (sentence,) = process.stdout.splitlines()
        assert "expected " in sentence
        loaded = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
        assert loaded.isdisjoint({"numba", "scipy.fft", "fastapi", "torch", "onnxruntime"})


def test_peers_that_are_missing_are_named_with_their_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from qpi_live.bench import report

    monkeypatch.setitem(sys.modules, "qpi_live.bench.peers", None)
    assert report.peers_or_none() is None
    assert "pip install 'qpi-live[peers]'" in capsys.readouterr().out


def test_accuracy_judges_the_chain_with_and_without_calibration(tmp_path: Path) -> None:
    asked = ["--frames", "1", "--size", "512", "--condition", "nominal", "--no-peers", "--windows", "1"]
    document = last_line(
        run("bench/accuracy.py", *asked, "--engine", "goldstein", "--engine", "auto", "--pictures", str(tmp_path))
    )
    methods = document["conditions"]["nominal"]
    assert {"goldstein", "goldstein, calibration frame"} <= methods.keys()
    for name in ("goldstein", "goldstein, calibration frame"):
        figures = methods[name]
        assert figures.keys() == {"psnr_db", "mean_psnr_db", "worst_psnr_db", "ssim", "rms_rad", "frames"}
        assert figures["psnr_db"] > 36
        assert figures["ssim"] > 0.85
    assert methods["true aberration"]["psnr_db"] >= methods["goldstein"]["psnr_db"] - 0.2
    assert methods["goldstein, learned background"]["psnr_db"] > 34
    assert document["recording"]["auto"]["windows"] == 1
    assert document["recording"]["goldstein, learned background"]["worst_rms_rad"] < 0.3
    of_recording = ("auto", "goldstein, auto background", "goldstein, learned background")
    pictures = {"nominal.png", *(f"recording-{name}.png" for name in of_recording)}
    assert {path.name for path in tmp_path.iterdir()} == pictures


def test_accuracy_of_an_unknown_condition_is_refused_with_those_there_are() -> None:
    process = run("bench/accuracy.py", "--condition", "cloudy")
    assert process.returncode == 2
    assert "nominal" in process.stderr


def test_rivals_trained_alike_see_the_same_crops_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'qpi-live[train]'")
    from qpi_live.models.training.simulate import simulate_pairs

    from tests.models.small_network import BENCH

    simulate_pairs(replace(BENCH, shape=(128, 128)), tmp_path / "pairs", {"train": 4, "validation": 3}, seed=1)
    small = ["--graphs", "2", "--no-unet", "--epochs", "1", "--crop", "64", "--frames", "1", "--threads", "1"]
    words = ["bench/rivals.py", str(tmp_path / "pairs"), str(tmp_path / "runs"), *small]
    first = last_line(run(*words))["rivals"]
    assert first.keys() == {"nasprnet-connections", "random graph 1", "random graph 2", "narrow U-Net"}
    assert {row["samples"] for row in first.values()} == {4}
    graphs = [row["connections"] for name, row in first.items() if name != "narrow U-Net"]
    assert len(set(graphs)) == 1
    assert graphs[0] > 0
    assert last_line(run(*words))["rivals"] == first
