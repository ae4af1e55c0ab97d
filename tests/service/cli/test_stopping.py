"""Ctrl+C at a command that is at work: one word, nothing half made, no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.fakes import fringes
from tests.service.stations import PATIENCE_S, until

QPI = [sys.executable, "-c", "from qpi_live.service.cli.entry import main; main()"]

Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a recording that takes minutes to work on, in a few bytes on the disk."""
    frames = np.lib.format.open_memmap(tmp_path / "long.npy", "w+", np.uint8, (20_000, 128, 128))
    frames[:32] = np.stack([fringes((128, 128), number) for number in range(32)])
    frames[-1] = frames[0]
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [*QPI, *arguments],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # so that a terminal's Ctrl+C, to all in the foreground, reaches none of ours
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in str(child.cmdline())
    ]


@pytest.mark.parametrize("at", ["once", "work"])
def test_ctrl_c_in_the_terminal_ends_a_command_with_its_workers_in_one_word(run: Run, at: str, folder: Path) -> None:
    process = run("process", "long.npy", "--out", "phase", "--workers", "2")
    until(lambda: len(workers_of(process)) == 2)
    if at == "work":
        until(lambda: any((folder / "phase").rglob("c/*")))
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (130, "Stopped.\n")
    assert not psutil.wait_procs(workers, 3)[1]


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_command_that_alone_is_told_to_end_leaves_no_worker(run: Run, told: signal.Signals) -> None:
    process = run("process", "long.npy", "--out", "phase", "--workers", "2")
    until(lambda: len(workers_of(process)) == 2)
    workers = workers_of(process)
    process.send_signal(told)
    process.communicate(timeout=PATIENCE_S)
    assert not psutil.wait_procs(workers, 10)[1]


@pytest.mark.parametrize("out", ["made.h5", "made.ome.zarr", "made"])
def test_ctrl_c_while_converting_leaves_nothing_half_made(run: Run, folder: Path, out: str) -> None:
    process = run("convert", "long.npy", out)
    until(lambda: len(list(folder.iterdir())) > 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (130, "Stopped.\n")
    assert [path.name for path in folder.iterdir()] == ["long.npy"]
