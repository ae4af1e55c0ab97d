"""From a recording to an adapted network that was judged, by the command, with a tiny budget; and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'qpi-live[train]'")
pytest.importorskip("onnxscript", reason="export needs onnxscript: pip install 'qpi-live[train]'")

from qpi_live.camera.frame import Frame  # noqa: E402
from qpi_live.camera.simulation.instrument import Instrument  # noqa: E402
from qpi_live.models.artifacts.promotions import Figures, Kind  # noqa: E402
from qpi_live.models.engine import EngineOptions  # noqa: E402
from qpi_live.models.engines.onnx import SHIPPED, SHIPPED_INT8, OnnxEngine  # noqa: E402
from qpi_live.models.export.onnx_file import GreyToPhase  # noqa: E402
from qpi_live.models.promotion.adapt import why_no_gain  # noqa: E402
from qpi_live.models.promotion.judgement import Verdict  # noqa: E402
from qpi_live.models.promotion.registry import Registry, check_name  # noqa: E402
from qpi_live.models.training.checkpoint import CheckpointError, start_from  # noqa: E402
from qpi_live.models.training.exported import weights_of  # noqa: E402
from qpi_live.models.training.simulate import simulate_pair  # noqa: E402
from qpi_live.service.cli.main import app  # noqa: E402
from qpi_live.service.cli.networks import adapt as adapt_command  # noqa: E402

INSTRUMENT = Instrument.from_file(Path(__file__).parents[3] / "camera" / "data" / "glioblastoma.json")
SMALL = replace(INSTRUMENT, shape=(128, 128))
TINY = ["--pairs", "4", "--minutes", "0.05", "--judged-on", "1", "--processes", "1", "--threads", "1"]
FIGURES = Figures(
    psnr_db={"nominal": 40.0}, seen_on="recorded", difference_rad=0.1, largest_difference_rad=0.2, latency_ms=10.0
)


def qpi(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def test_weights_of_the_shipped_network_give_its_phase_in_torch() -> None:
    spec, weights = weights_of(SHIPPED)
    net = spec.build()
    start_from(net, weights)
    pixels = simulate_pair(SMALL, "nominal", 1).pixels
    with torch.inference_mode():
        in_torch = GreyToPhase(net.eval(), 8).eval()(torch.from_numpy(pixels)).numpy()
    expected = OnnxEngine(EngineOptions(threads=1), SHIPPED).retrieve(Frame(pixels, 8, 0, 0, 0)).phase_rad
    np.testing.assert_allclose(in_torch, expected, atol=1e-3)


def test_weights_of_an_8_bit_network_or_of_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a network in fp32"):
        weights_of(SHIPPED_INT8)
    (tmp_path / "none.onnx").write_bytes(b"none")
    with pytest.raises(CheckpointError, match="expected a network of `qpi export`"):
        weights_of(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("new", "refusal", "says"),
    [
        (FIGURES, None, "to be better than"),
        (FIGURES.model_copy(update={"psnr_db": {"nominal": 40.2}}), None, None),
        (FIGURES.model_copy(update={"difference_rad": 0.08}), None, None),
        (FIGURES.model_copy(update={"psnr_db": {"nominal": float("nan")}}), None, "to be better than"),
        (FIGURES.model_copy(update={"psnr_db": {"nominal": 50.0}}), "it is slow", "it is slow"),
    ],
)
def test_adapted_network_is_promoted_only_where_some_figure_is_better(
    new: Figures, refusal: str | None, says: str | None
) -> None:
    shipped = Registry(Path("nowhere")).shipped(Kind.NETWORK)
    reason = why_no_gain(Verdict(shipped, shipped, None, new, FIGURES, {}, refusal))
    assert (reason is None) == (says is None)
    assert says is None or says in str(reason)


def test_adapt_of_frames_that_no_network_takes_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    np.save(tmp_path / "odd.npy", np.zeros((2, 100, 128), np.uint8))
    done = qpi("adapt", f"replay:{tmp_path / 'odd.npy'}", tmp_path / "run", "--wavelength-nm", 532, *TINY)
    assert done.exit_code == 2
    assert "expected frames whose height and width 32 divides, got 100 × 128; choose a --size" in done.output
    assert not (tmp_path / "run").exists()  # so that the same folder may be named with a --size


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--name", "my network"], "expected a name of at most 64 letters"),
        (["--name", "n" * 65], "expected a name of at most 64 letters"),
        (["--name", "nasprnet"], "which is the shipped network's"),
        (["--precision", "int4"], "expected a precision among fp32, fp16, int8, got 'int4'"),
    ],
)
def test_adapt_refuses_what_would_fail_after_the_training_before_it(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = qpi("adapt", "replay:nowhere.tif", tmp_path / "run", "--networks", tmp_path / "networks", *words)
    assert done.exit_code == 2
    assert sentence in done.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("replay:/data/über uns.ome.tif", "über-uns-adapted"),
        ("replay:2026-11-27 08-10-00", "2026-11-27-08-10-00-adapted"),
        ("replay:" + "long" * 40 + ".h5", ("long" * 13)[:50] + "-adapted"),
        ("replay:...", "mine-adapted"),
        ("gentl:/opt/x.cti#VC0000", "x-adapted"),
    ],
)
def test_name_of_an_adapted_network_is_one_that_a_network_can_have(recording: str, name: str) -> None:
    assert adapt_command._name_of(recording) == name
    check_name(name)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_adapt_makes_judges_and_keeps_a_network_and_goes_on_where_it_was(tmp_path: Path) -> None:
    frames = np.stack([simulate_pair(SMALL, "nominal", 50 + n).pixels for n in range(3)])
    np.save(tmp_path / "mine.npy", frames)
    words = ["adapt", f"replay:{tmp_path / 'mine.npy'}", tmp_path / "run", "--networks", tmp_path / "networks"]
    optics = ["--wavelength-nm", 532, "--pixel-um", 3.45, "--magnification", 20, "--precision", "fp32"]
    done = qpi(*words, *optics, *TINY)
    assert done.exit_code in (0, 1), done.output
    for step in ("1 of 4", "2 of 4", "3 of 4", "4 of 4", "The gate"):
        assert step in done.output
    registry = Registry(tmp_path / "networks")
    made = registry.named("mine-adapted")
    assert made.instrument == "mine-adapted"
    assert ("Not better, so nothing was promoted" in done.output) == (done.exit_code == 1)
    assert registry.in_force(Kind.NETWORK).name == ("mine-adapted" if done.exit_code == 0 else "nasprnet")

    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.suffix in (".npy", ".pt")}
    again = qpi(*words, *optics, *TINY)
    assert again.exit_code in (0, 1), again.output
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert registry.named("mine-adapted").sha256 == made.sha256

    other = qpi(*words, *optics, *TINY, "--size", 96)
    assert other.exit_code == 2
    assert "name another folder" in other.output
    assert json.loads((tmp_path / "run" / "adapt.json").read_text())["size"] is None
