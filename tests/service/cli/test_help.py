"""Help texts: nothing in them is eaten as markup on its way to the terminal."""

import inspect
import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import qpi_live.bench
import typer
from qpi_live.service.cli.main import app
from qpi_live.service.cli.networks.options import TrainingOptions
from rich.text import Text
from typer.testing import CliRunner

BENCHES = [
    path.stem for path in sorted(Path(qpi_live.bench.__file__).parent.glob("*.py")) if "typer.run(" in path.read_text()
]


def _helps(command: Any) -> list[str]:
    hints = get_type_hints(command, include_extras=True)
    metadata = [part for hint in hints.values() for part in getattr(hint, "__metadata__", ())]
    return [part.help for part in metadata if getattr(part, "help", None)]


def test_help_of_commands_is_shown_whole() -> None:
    commands = [info.callback for info in app.registered_commands]
    assert len(commands) > 10
    for command in commands:
        for text in [(command.__doc__ or "").replace("\b", ""), *_helps(command)]:  # type: ignore[union-attr]
            _assert_shown_whole(text)


@pytest.mark.parametrize("bench", BENCHES)
def test_help_of_benchmarks_is_shown_whole(bench: str) -> None:
    main = import_module(f"qpi_live.bench.{bench}").main
    assert isinstance(typer.main.get_command(_app(main)).help, str)
    for text in _helps(main):
        _assert_shown_whole(text)


def _assert_shown_whole(text: str) -> None:
    styled = re.sub(r"(?<!\\)\[/?dim\]", "", text)
    assert Text.from_markup(text).plain == styled.replace("\\[", "["), text


def _app(main: Any) -> typer.Typer:
    one = typer.Typer()
    one.command()(main)
    return one


def test_train_of_a_background_refuses_an_option_that_its_training_lacks(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'qpi-live[train]'")
    for option in ("--crop", "--validate-every"):
        words = ["train", str(tmp_path), str(tmp_path / "run"), "--net", "background", option, "64"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert f"got {option}; leave it out" in " ".join(done.output.split())
    assert not (tmp_path / "run").exists()


def test_search_and_train_take_the_same_training_options() -> None:
    commands = {info.name: info.callback for info in app.registered_commands}
    shared = {field.name for field in fields(TrainingOptions)}
    for name in ("search", "train"):
        assert shared <= inspect.signature(commands[name]).parameters.keys()  # type: ignore[arg-type]
