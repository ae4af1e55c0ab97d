"""A run on disk: `last.pt` goes on where it stopped, `best.pt` validated best, `log.csv` has a row for every epoch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from qpi_live.models.training.checkpoint import Checkpoint, CheckpointError, NetSpec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LAST, BEST, LOG = "last.pt", "best.pt", "log.csv"


class RunFolder:
    """The folder of one run; made if need be."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def last(self, spec: NetSpec) -> Checkpoint | None:
        """Where the run stopped; None where it has not begun.

        Raises:
            CheckpointError: the run is of another network than `spec`, or its checkpoint cannot be used.
        """
        path = self._folder / LAST
        if not path.exists():
            return None
        state = Checkpoint.load(path)
        if state.spec != spec:
            raise CheckpointError(
                f"expected a run of {spec} in {self._folder}, got one of {state.spec}; name another folder"
            )
        return state

    def save(self, state: Checkpoint, is_best: bool) -> None:
        """Write the checkpoint, as the best too if it is."""
        state.save(self._folder / LAST)
        if is_best:
            state.save(self._folder / BEST)

    def log(self, row: Mapping[str, object]) -> None:
        """Add a row to the log, whose first one's names head the columns; print it, too, where no terminal is."""
        path = self._folder / LOG
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        if not Console().is_terminal:  # and so nobody sees the bar
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)


class epoch_bar(AbstractContextManager[Callable[[], None]]):  # noqa: N801 - reads as a function
    """A progress bar over one epoch's steps; silent in all processes but the first."""

    def __init__(self, epoch: int, steps: int, is_shown: bool) -> None:
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            disable=not is_shown,
            transient=True,
        )
        self._task = self._progress.add_task("", total=steps, epoch=epoch)

    def __enter__(self) -> Callable[[], None]:
        self._progress.start()
        return lambda: self._progress.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
