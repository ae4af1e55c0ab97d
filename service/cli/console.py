"""Messages, tables and progress of the commands on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from qpi_live.camera.errors import CameraError
from qpi_live.models.errors import EngineError
from qpi_live.service.cli.closing import closing_on_ctrl_c
from qpi_live.service.client.received import ServiceError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table


@contextmanager
def one_clear_line(extra: str = "train") -> Iterator[None]:
    """End with one sentence and exit code 2 where a user's input is wrong; `extra` has the packages it needs.

    Ctrl+C in the block closes what is open and ends.
    """
    try:
        with closing_on_ctrl_c():
            yield
    except ModuleNotFoundError as missing:
        _fail(f"this command needs the package {missing.name!r}: pip install 'qpi-live[{extra}]'")
    except (CameraError, EngineError, ServiceError, ValueError, OSError) as error:
        _fail(str(error))


def _fail(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {escape(sentence)}", highlight=False)
    sys.exit(2)


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar while `total` things are done one by one; yields what to call after each."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@contextmanager
def share_bar(what: str) -> Iterator[Callable[[float, str], None]]:
    """A bar over something that knows what share is done; yields what to call with the share and the present step.

    Where nobody watches, such as in a container's log, it is a line for each tenth.
    """
    if Console().is_terminal:
        columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
        with Progress(*columns, transient=True) as progress:
            task = progress.add_task("", total=1.0)
            yield lambda share, step: progress.update(task, completed=share, description=step)
        return
    said = -1

    def say(share: float, step: str) -> None:
        nonlocal said
        if (tenths := int(10 * share)) > said:
            said = tenths
            print(f"{what}: {10 * tenths} %, {step}", flush=True)

    yield say


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows` of cells under `columns`."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(escape, row))  # a name may have brackets, which are markup
    Console().print(table)
