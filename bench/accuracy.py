"""Measures the accuracy of engines: on simulated frames of known phase, and beside the chain on a real hologram.

    python bench/accuracy.py --engine nasprnet --engine goldstein
    python bench/accuracy.py --condition harsh --frames 32 --instrument my-instrument.json --json result.json

All methods see the same frames, which training never saw. They are pairs of an instrument under the conditions of
`camera.simulation.conditions`, from a seed on that no choice in this project was made with. Engines that can use a
calibration frame are judged without one and with, the classical chain with each background. The sideband is the
instrument's own, as on a stream whose sign was decided once. For comparison, scikit-image unwraps the very wrapped
phase that the classical chain unwrapped. A local Wiener filter (Lim 1990) over the phase is the rival of what takes
noise off with a network. `true aberration` is the classical chain with a background that was fitted to the truth: none
can do better. Figures are over the whole frame on the scale of 0 … 12 rad, to which truth and answer are cut; nothing
is aligned or masked. On windows of the bundled hologram, whose truth nobody knows, each engine is compared with the
classical chain. The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from qpi_live.bench.frames import Example, condition_named, instrument_examples, recorded_windows
from qpi_live.bench.pictures import save_side_by_side
from qpi_live.bench.report import JsonFile, console, finish, peers_or_none
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.conditions import TABLED
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.block_map import EDGE, BlockMap
from qpi_live.models.classical.carrier import Carrier
from qpi_live.models.engine import CHOSEN, LEARNED, POLYNOMIAL, EngineOptions, PhaseEngine, TunableEngine, open_engine
from qpi_live.models.errors import EngineError, InferenceError
from qpi_live.models.metrics import PHASE_RANGE_RAD, psnr_db, rms_rad, ssim, without_level
from qpi_live.models.sideband import Sideband
from rich.progress import track
from rich.table import Table
from scipy.signal import wiener

BUNDLED_INSTRUMENT = Path(__file__).parent.parent / "camera" / "data" / "glioblastoma.json"
RECORDING = "replay:glioblastoma"
_FUSED = "fused"
_WIENER_PX = 9  # edge of the filter's window
_CLASSICAL = ("goldstein", "goldstein-cuda")
_FIRST_SEED = 500_000
_FITS_TO_THE_TRUTH = 6  # each takes off what it trusts; lost turns and edges keep out of it
Phase = NDArray[np.float32]
Method = Callable[[Example], Phase]
Unwrapper = Callable[[Phase], Phase]


def main(
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Engine, or a network's .onnx file; again for more (default: goldstein)."),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(parser=condition_named, help=f"Condition; again for more (default: {', '.join(TABLED)})."),
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(help="Classical chain's background, or a learned one's file; again for more (default: both)."),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames for each condition.")] = 16,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first frame of each condition.")] = _FIRST_SEED,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Edge of the square frames, in pixels.")] = 1024,
    instrument: Annotated[
        Path, typer.Option(help="Instrument file of `qpi instrument`; the bundled hologram's by default.")
    ] = BUNDLED_INSTRUMENT,
    windows: Annotated[int, typer.Option(min=0, help="Windows of the bundled hologram along each axis.")] = 3,
    peers: Annotated[bool, typer.Option(help="Also let scikit-image unwrap the same wrapped phase.")] = True,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures of what each method made.")] = None,
    json: JsonFile = None,
) -> None:
    """Judge engines on simulated interferograms whose true phase is known, and on a real hologram."""
    names, backgrounds = engine or ["goldstein"], background or [CHOSEN, POLYNOMIAL, LEARNED]
    measured = Instrument.from_file(instrument)
    results: dict[str, dict[str, Any]] = {}
    for name in condition or TABLED:
        with console.status(f"Simulating {frames} {name} frames of {size} × {size} px"):
            examples = instrument_examples(measured, name, (size, size), frames, first_seed)
        methods = _methods(names, backgrounds, _options(measured, measured.optics), peers)
        phases = {method: _phases(method, call, examples) for method, call in methods.items()}
        results[name] = {method: _judge(made, examples) for method, made in phases.items()}
        console.print(_table(f"{measured.name}, {name}: {frames} frames of {size} × {size} px", results[name]))
        if pictures is not None:
            shown = {"true": examples[0].true_phase_rad} | {method: made[0] for method, made in phases.items()}
            save_side_by_side(pictures / f"{name}.png", shown, examples[0].frame)
    real = _on_the_recording(names, backgrounds, windows, size, pictures) if windows else {}
    finish(
        {"instrument": measured.name, "first_seed": first_seed, "conditions": results, "recording": real},
        json,
    )


def _options(instrument: Instrument, optics: Optics | None) -> EngineOptions:
    """With the sideband that is the instrument's: which one that is, frames alone cannot always tell."""
    is_upper = Carrier(*instrument.fringes.carrier_cycles_per_px).is_upper
    return EngineOptions(optics=optics, sideband=Sideband.UPPER if is_upper else Sideband.LOWER)


def _titled(
    engines: list[str], backgrounds: list[str], options: EngineOptions
) -> Iterator[tuple[str, str, EngineOptions]]:
    """Title, name and options of everything that is judged: the classical chain once with each background."""
    for name in engines:
        title = Path(name).name
        if name == _FUSED:
            yield title, name, options
            yield f"{title}, blend", name, replace(options, blend=True)
            continue
        if name not in _CLASSICAL:
            yield title, name, options
            continue
        for background in backgrounds:
            named = title if background == POLYNOMIAL else f"{title}, {Path(background).name} background"
            yield named, name, replace(options, background=background)


def _methods(engines: list[str], backgrounds: list[str], options: EngineOptions, peers: bool) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for title, name, with_background in _titled(engines, backgrounds, options):
        methods[title] = _with_engine(name, with_background, calibrated=False)
        if isinstance(_open(name, options), TunableEngine):
            methods[f"{title}, calibration frame"] = _with_engine(name, with_background, calibrated=True)
    for background in backgrounds:
        label = "Wiener filter" if background == POLYNOMIAL else f"{Path(background).name} background, Wiener filter"
        methods[f"goldstein, {label}"] = _with_wiener(replace(options, background=background))
    methods["true aberration"] = _with_true_aberration(options)
    if peers and (module := peers_or_none()) is not None:
        methods["scikit-image"] = _with_peer(module.unwrap, options, calibrated=False)
        methods["scikit-image, calibration frame"] = _with_peer(module.unwrap, options, calibrated=True)
    return methods


def _with_engine(name: str, options: EngineOptions, calibrated: bool) -> Method:
    engine = _open(name, options)

    def retrieve(example: Example) -> Phase:
        if isinstance(engine, TunableEngine):  # no frame profits from the one before
            engine.use_calibration(example.calibration if calibrated else None, force=True)
            engine.forget_instrument()
        return _phase(engine, example.frame)

    return retrieve


def _with_peer(unwrap: Unwrapper, options: EngineOptions, calibrated: bool) -> Method:
    """The classical chain with another unwrapping in the place of Goldstein's."""
    classical = _with_engine("goldstein", options, calibrated)

    def retrieve(example: Example) -> Phase:
        turns = np.float32(2 * np.pi)
        phase = classical(example)
        unwrapped = unwrap(phase - turns * np.rint(phase / turns))
        BackgroundFit(unwrapped.shape, order=0).remove(unwrapped)
        return unwrapped

    return retrieve


def _with_wiener(options: EngineOptions) -> Method:
    """The classical chain, whose noise a filter takes off that knows no cells."""
    classical = _with_engine("goldstein", options, calibrated=False)

    def retrieve(example: Example) -> Phase:
        smooth: Phase = wiener(classical(example).astype(np.float64), _WIENER_PX).astype(np.float32)
        return smooth

    return retrieve


def _with_true_aberration(options: EngineOptions) -> Method:
    """The classical chain whose background is a fit, of order 4, to how far its phase is from the truth."""
    classical = _with_engine("goldstein", options, calibrated=False)

    def retrieve(example: Example) -> Phase:
        phase = classical(example).copy()
        y, x = (np.linspace(-1, 1, length) for length in phase.shape)
        grid = BlockMap(y, x)
        for _ in range(_FITS_TO_THE_TRUTH):
            off, valid = grid.means(phase - example.true_phase_rad)
            coefficients = grid.matrix(grid.settle(off, np.zeros((EDGE, EDGE), np.float32), valid).values)
            phase -= np.polynomial.polynomial.polygrid2d(y, x, coefficients).astype(np.float32)
        return phase

    return retrieve


def _phase(engine: PhaseEngine, frame: Frame) -> Phase:
    """What the engine makes of the frame; a flat phase where it can make nothing of it."""
    try:
        return engine.retrieve(frame).phase_rad
    except InferenceError:
        return np.zeros(frame.shape, np.float32)


def _alone(engine: PhaseEngine, frame: Frame) -> Phase:
    """`_phase` of a frame that has nothing to do with the one before."""
    if isinstance(engine, TunableEngine):
        engine.forget_instrument()
    return _phase(engine, frame)


def _open(name: str, options: EngineOptions) -> PhaseEngine:
    try:
        return open_engine(name, options, may_be_file=True)
    except EngineError as error:
        console.print(str(error), style="red")
        raise typer.Exit(2) from None


def _phases(name: str, method: Method, examples: list[Example]) -> list[Phase]:
    return [_cut(method(example)) for example in track(examples, name, console=console, transient=True)]


def _cut(phase_rad: Phase) -> Phase:
    return np.clip(phase_rad, 0, np.float32(PHASE_RANGE_RAD))


def _judge(phases: list[Phase], examples: list[Example]) -> dict[str, Any]:
    pairs = [(phase, _cut(example.true_phase_rad)) for phase, example in zip(phases, examples, strict=True)]
    psnr = [psnr_db(phase, true) for phase, true in pairs]
    return {
        "psnr_db": round(median(psnr), 2),
        "mean_psnr_db": round(fmean(psnr), 2),
        "worst_psnr_db": round(min(psnr), 2),
        "ssim": round(median(ssim(phase, true) for phase, true in pairs), 4),
        "rms_rad": round(median(rms_rad(phase, true) for phase, true in pairs), 4),
        "frames": len(examples),
    }


def _table(title: str, methods: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for column in ("median PSNR, dB", "mean PSNR, dB", "worst PSNR, dB", "median SSIM", "median RMS, rad"):
        table.add_column(column, justify="right")
    for name, figures in methods.items():
        decibels = (f"{figures[key]:.1f}" for key in ("psnr_db", "mean_psnr_db", "worst_psnr_db"))
        table.add_row(name, *decibels, f"{figures['ssim']:.3f}", f"{figures['rms_rad']:.3f}")
    return table


def _on_the_recording(
    engines: list[str], backgrounds: list[str], windows: int, size: int, pictures: Path | None
) -> dict[str, Any]:
    """How far each engine is from the classical chain with its polynomial on windows of the real hologram."""
    optics, frames = recorded_windows(RECORDING, size, windows)
    options = _options(Instrument.from_file(BUNDLED_INSTRUMENT), optics)
    reference = [_phase(_open("goldstein", options), frame) for frame in frames]
    others = [one for one in _titled(engines, backgrounds, options) if one[0] != "goldstein"]
    table = Table(
        title=f"{RECORDING}, {len(frames)} windows: difference from the classical chain", title_justify="left"
    )
    for column in ("engine", "median RMS, rad", "worst RMS, rad", "median RMS without the level, rad"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    figures: dict[str, Any] = {}
    for title, name, own_options in others:
        opened = _open(name, own_options)
        made = [_alone(opened, frame) for frame in frames]
        raw = [rms_rad(phase, other) for phase, other in zip(made, reference, strict=True)]
        level = [rms_rad(without_level(phase, other), other) for phase, other in zip(made, reference, strict=True)]
        figures[title] = {
            "median_rms_rad": round(median(raw), 3),
            "worst_rms_rad": round(max(raw), 3),
            "median_rms_without_level_rad": round(median(level), 3),
            "windows": len(frames),
        }
        table.add_row(title, f"{median(raw):.2f}", f"{max(raw):.2f}", f"{median(level):.2f}")
        if pictures is not None:
            middle = len(frames) // 2
            save_side_by_side(
                pictures / f"recording-{title}.png",
                {"goldstein": reference[middle], title: made[middle]},
                frames[middle],
            )
    if others:
        console.print(table)
    return figures


if __name__ == "__main__":
    typer.run(main)
