"""`qpi models`: what it lists, adds, promotes and rolls back, and its one sentence where it does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qpi_live.models.artifacts.promotions import Kind
from qpi_live.models.promotion.gate import simulate
from qpi_live.models.promotion.registry import Registry
from qpi_live.service.cli.main import app
from typer.testing import CliRunner, Result

from tests.models.small_network import BENCH, small_network, written

FEW = ["--frames", "1", "--processes", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks in which `good` is in force and `bad`, which is worse, is not."""
    beside = tmp_path_factory.mktemp("made")
    for name, brightness in (("good", 0.0), ("bad", 3.0)):
        network = written(beside, small_network(brightness=brightness), f"{name}.onnx")
        assert qpi("add", network, beside / "networks").exit_code == 0
    done = qpi("promote", "good", beside / "networks", "--force", *FEW)
    assert done.exit_code == 0, done.output
    return beside / "networks"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of `made` of the test's own."""
    return shutil.copytree(made, tmp_path / "networks")


def qpi(command: str, what: object, folder: Path, *options: str) -> Result:
    words = [command, *([] if what is None else [str(what)]), "--networks", str(folder), *options]
    return CliRunner().invoke(app, ["models", *words], env={"COLUMNS": "200"})


def in_force(folder: Path) -> str:
    return Registry(folder).in_force(Kind.NETWORK).name


def test_models_lists_networks_with_cards_and_the_history(folder: Path) -> None:
    (folder / "rubbish.onnx").write_bytes(b"none")
    done = CliRunner().invoke(app, ["models", "--networks", str(folder)], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for word in ("nasprnet", "learned", "good", "bad", "tiny bench", "every instrument", "History"):
        assert word in done.output
    assert Registry(folder).named("good").sha256[:12] in done.output
    assert "rubbish: expected an ONNX network" in done.output


def test_promote_of_a_worse_network_is_refused_in_a_sentence_and_changes_nothing(folder: Path) -> None:
    before = (folder / "promotions.json").read_bytes()
    done = qpi("promote", "bad", folder, *FEW)
    assert done.exit_code == 2
    assert "expected bad to be no worse than good, which is in force, got" in done.output
    assert "--force promotes it all the same" in done.output
    assert (folder / "promotions.json").read_bytes() == before


def test_promote_by_force_says_and_records_it_and_rollback_undoes_it(folder: Path) -> None:
    done = qpi("promote", "bad", folder, "--force", *FEW)
    assert done.exit_code == 0
    assert "Forced, against: expected bad" in done.output
    assert in_force(folder) == "bad"
    back = qpi("rollback", None, folder)
    assert back.exit_code == 0
    assert "good is in force again" in back.output
    assert in_force(folder) == "good"
    steps = Registry(folder).promotions.history.steps
    assert [step.done for step in steps][-2:] == ["forced", "rolled back to"]


def test_promote_looks_at_a_recording_of_the_microscope(folder: Path, tmp_path: Path) -> None:
    frames = np.stack([one.frame.pixels for one in simulate(BENCH, 1)])
    np.save(tmp_path / "mine.npy", frames)
    done = qpi("promote", "good", folder, "--recording", f"replay:{tmp_path / 'mine.npy'}", *FEW)
    assert done.exit_code == 0, done.output
    assert "from classical phase, recorded" in done.output
    promotion = Registry(folder).promotions.in_force(Kind.NETWORK)
    assert promotion is not None
    assert promotion.figures.seen_on == "recorded"


@pytest.mark.parametrize(
    ("command", "what", "sentence"),
    [
        ("promote", "nobody", "expected a network among nasprnet, learned, bad, good"),
        ("promote", "../good", "expected a network among"),
        ("add", "/nowhere/x.onnx", "No such file"),
    ],
)
def test_models_refuses_what_is_not_there_in_a_sentence(folder: Path, command: str, what: str, sentence: str) -> None:
    done = qpi(command, what, folder)
    assert done.exit_code == 2
    assert sentence in done.output


def test_rollback_of_what_was_never_promoted_is_refused(folder: Path) -> None:
    done = qpi("rollback", None, folder, "--kind", "background")
    assert done.exit_code == 2
    assert "learned, which ships, is in force" in done.output


def test_models_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from qpi_live.service.cli.main import app;"
        f"done = CliRunner().invoke(app, ['models', 'promote', 'good', '--networks', {str(folder)!r}, *{FEW!r}]);"
        "assert done.exit_code == 0, done.output; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_adapt_without_torch_says_what_to_install_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    need_it = tuple(f"qpi_live.models.{room}" for room in ("promotion.adapt", "training", "export", "nets"))
    for module in [name for name in sys.modules if name.startswith(need_it)]:
        monkeypatch.delitem(sys.modules, module)
    done = CliRunner().invoke(app, ["adapt", "replay:glioblastoma", str(tmp_path / "run")], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "needs the package 'torch': pip install 'qpi-live[train]'" in done.output
    assert not (tmp_path / "run").exists()
