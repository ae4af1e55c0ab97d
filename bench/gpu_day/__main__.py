"""Runs the steps of a day on a GPU, one after the other. `bench/gpu_day.sh` starts it. Standard library only."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import monotonic

from qpi_live.bench.gpu_day.plan import BUDGET_S, Step, steps, table
from qpi_live.bench.gpu_day.runner import Outcome, run_step, write

_MIB = 1 << 20
_MOST_IN, _MOST_OUT_FILES, _MOST_OUT_EACH = 64 * _MIB, 8, 16 * _MIB
_NOT_SENT = {".git", ".venv", "build", "dist", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"}
_LEAST_S = 5.0  # with less left, a step is not begun


def main() -> None:
    """See `bench/gpu_day.sh`."""
    asked = _asked()
    asked.budget = round(asked.budget * asked.patience)
    chosen = [step for step in _steps(asked) if not asked.only or step.name in asked.only.split(",")]
    if not chosen:
        sys.exit(f"expected --only with steps among {', '.join(step.name for step in _steps(asked))}, got {asked.only}")
    print(table(chosen, asked.budget), flush=True)
    if asked.dry_run:
        _print_sizes(asked.root, asked.wheels)
        return
    began, outcomes = monotonic(), list[Outcome]()
    log, results = asked.out / "log.txt", asked.out / "results.json"
    log.write_bytes(b"")
    for step in chosen:
        left_s = asked.budget - (monotonic() - began)
        outcomes.append(_run(step, left_s, asked.root, log))
        write(results, outcomes)
        print(_line(outcomes[-1]), flush=True)
    print(f"{results}: {sum(outcome.outcome == 'done' for outcome in outcomes)} of {len(outcomes)} steps done")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/gpu_day.sh", description="A day on a GPU.")
    parser.add_argument("wheels", type=lambda text: Path(text).absolute())
    parser.add_argument("out", type=lambda text: Path(text).absolute())
    parser.add_argument("--dry-run", action="store_true", help="print the plan and the sizes, and do nothing")
    parser.add_argument("--root", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=1024, help="edge of the frames in pixels")
    parser.add_argument("--frames", type=int, default=1000, help="frames to time for each figure")
    parser.add_argument("--budget", type=int, default=BUDGET_S, help="seconds in all")
    parser.add_argument("--patience", type=float, default=1.0, help="times as long as each step may take")
    parser.add_argument("--only", default="", help="names of steps, with commas between")
    return parser.parse_args()


def _steps(asked: argparse.Namespace) -> list[Step]:
    return steps(asked.wheels, asked.out, asked.work, asked.size, asked.frames, asked.patience)


def _run(step: Step, left_s: float, root: Path, log: Path) -> Outcome:
    if left_s < _LEAST_S:
        return Outcome(step.name, "not run", 0.0, None, None, f"{left_s:.0f} s were left")
    limit_s = left_s if step.limit_s is None else min(step.limit_s, left_s)
    command = [part.replace("{left_min}", f"{limit_s / 60:.2f}") for part in step.command]
    return run_step(step.name, command, limit_s, root, log)


def _line(outcome: Outcome) -> str:
    last = outcome.said.strip().splitlines()[-1:] if outcome.outcome != "done" else []
    return f"{outcome.took_s:6.1f} s  {outcome.step}: {outcome.outcome}{': ' if last else ''}{''.join(last)[:160]}"


def _print_sizes(root: Path, wheels: Path) -> None:
    tree = 0
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name not in _NOT_SENT]
        tree += sum((Path(folder) / name).lstat().st_size for name in files)
    found = sorted(wheels.glob("*.whl"), key=lambda wheel: -wheel.stat().st_size)
    carried = sum(wheel.stat().st_size for wheel in found)
    for wheel in found:
        print(f"{wheel.stat().st_size / _MIB:7.1f} MiB  {wheel.name}")
    fits = "fits" if tree + carried <= _MOST_IN else "does not fit: carry what is missing there alone"
    print(f"in: files {tree / _MIB:.1f} MiB, wheels {carried / _MIB:.1f} MiB, of {_MOST_IN // _MIB} MiB: {fits}")
    names = (
        "results.json",
        "log.txt",
        "timeline.json",
        "training.csv",
        "trained.onnx",
        "trained.onnx.sha256",
    )
    print(f"out: {', '.join(names)}: {len(names)} of {_MOST_OUT_FILES} files of {_MOST_OUT_EACH // _MIB} MiB")
    print("     or, where there was no time to export, trained.pt.aa … trained.pt.ad in the place of the last two")


if __name__ == "__main__":
    main()
