"""How right engines are, on simulated frames whose true phase is known.

    python bench/accuracy.py --engine goldstein
    python bench/accuracy.py --condition harsh --frames 32 --json result.json

Each engine sees the same frames, without a calibration frame and, where it can use one, with. For comparison,
scikit-image unwraps the very wrapped phase that the classical chain unwrapped. Figures are per frame, over the whole
frame, on the scale of 0 … 12 rad, with nothing aligned or masked afterwards. The last line is the whole result as JSON;
its `engines` are those of the first condition.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from bench.frames import Example, optics_of, simulated_examples
from bench.report import console, finish, peers_or_none
from models.classical.background import BackgroundFit
from models.engine import EngineOptions, PhaseEngine, PhaseFrame, TunableEngine, open_engine
from models.errors import EngineError
from models.metrics import psnr_db, rms_rad, ssim

CONDITIONS = ("nominal", "harsh", "dense")
Method = Callable[[Example], NDArray[np.float32]]
Unwrapper = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def main(
    engine: Annotated[list[str] | None, typer.Option(help="Engine to judge; again for more [goldstein].")] = None,
    condition: Annotated[list[str] | None, typer.Option(help="Condition; again for more [default: all three].")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames for each condition.")] = 16,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Edge of the square frames, in pixels.")] = 1024,
    peers: Annotated[bool, typer.Option(help="Also let scikit-image unwrap the same wrapped phase.")] = True,
    json: Annotated[Path | None, typer.Option(help="Also write the JSON result to this file.")] = None,
) -> None:
    """Judge engines on simulated interferograms whose true phase is known."""
    results: dict[str, dict[str, Any]] = {}
    conditions = condition or list(CONDITIONS)
    for name in conditions:
        with console.status(f"Simulating {frames} {name} frames of {size} × {size} px"):
            examples = simulated_examples(name, (size, size), frames)
        methods = _methods(engine or ["goldstein"], EngineOptions(optics=optics_of(name)), peers)
        results[name] = {method: _judge(method, call, examples) for method, call in methods.items()}
        console.print(_table(f"{name}: {frames} frames of {size} × {size} px", results[name]))
    finish({"engines": results[conditions[0]], "conditions": results}, json)


def _methods(engines: list[str], options: EngineOptions, peers: bool) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for name in engines:
        methods[name] = _with_engine(name, options, calibrated=False)
        if isinstance(_open(name, options), TunableEngine):
            methods[f"{name}, calibration frame"] = _with_engine(name, options, calibrated=True)
    if peers and (module := peers_or_none()) is not None:
        methods["scikit-image"] = _with_peer(module.unwrap, options, calibrated=False)
        methods["scikit-image, calibration frame"] = _with_peer(module.unwrap, options, calibrated=True)
    return methods


def _with_engine(name: str, options: EngineOptions, calibrated: bool) -> Method:
    return lambda example: _retrieve(name, options, example, calibrated).phase_rad


def _with_peer(unwrap: Unwrapper, options: EngineOptions, calibrated: bool) -> Method:
    """The classical chain with another unwrapping in the place of Goldstein's."""

    def retrieve(example: Example) -> NDArray[np.float32]:
        wrapped = _retrieve("goldstein", options, example, calibrated).wrapped_rad()
        unwrapped = unwrap(wrapped)
        BackgroundFit(unwrapped.shape, order=0).remove(unwrapped)
        return unwrapped

    return retrieve


def _retrieve(name: str, options: EngineOptions, example: Example, calibrated: bool) -> PhaseFrame:
    """What a fresh engine makes of the frame, so that no frame profits from the one before."""
    engine = _open(name, options)
    if calibrated and isinstance(engine, TunableEngine):
        engine.use_calibration(example.calibration)
    return engine.retrieve(example.frame)


def _open(name: str, options: EngineOptions) -> PhaseEngine:
    try:
        return open_engine(name, options)
    except EngineError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None


def _judge(name: str, method: Method, examples: list[Example]) -> dict[str, Any]:
    psnr, similarity, rms = [], [], []
    for example in track(examples, name, console=console, transient=True):
        phase, true = method(example), example.true_phase_rad
        psnr.append(psnr_db(phase, true))
        similarity.append(ssim(phase, true))
        rms.append(rms_rad(phase, true))
    return {
        "psnr_db": round(fmean(psnr), 2),
        "worst_psnr_db": round(min(psnr), 2),
        "ssim": round(fmean(similarity), 4),
        "rms_rad": round(fmean(rms), 4),
        "frames": len(examples),
    }


def _table(title: str, methods: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for column in ("PSNR, dB", "worst PSNR, dB", "SSIM", "RMS, rad"):
        table.add_column(column, justify="right")
    for name, figures in methods.items():
        table.add_row(
            name,
            f"{figures['psnr_db']:.1f}",
            f"{figures['worst_psnr_db']:.1f}",
            f"{figures['ssim']:.3f}",
            f"{figures['rms_rad']:.3f}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
