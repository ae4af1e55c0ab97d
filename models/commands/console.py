"""What the commands say on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from camera.errors import CameraError
from models.errors import EngineError

_TRAIN_EXTRA = "pip install 'qpi-live[train]'"


@contextmanager
def one_clear_line() -> Iterator[None]:
    """End with one sentence and exit code 2 where a person's input is wrong."""
    try:
        yield
    except ModuleNotFoundError as missing:
        _fail(f"this command needs the package {missing.name!r}: {_TRAIN_EXTRA}")
    except (CameraError, EngineError, ValueError, OSError) as error:
        _fail(str(error))


def _fail(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]Cannot do it:[/] {escape(sentence)}", highlight=False)
    sys.exit(2)


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar while `total` things are done one by one; yields what to call after each."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows` of cells under `columns`."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
