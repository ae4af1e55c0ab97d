"""The commands that make a network: instrument, pairs, search, prune, train, evaluate, export.

Each imports what it needs when it is called, so that the rest of `qpi` starts without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from camera.errors import CameraError
from models.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

    from camera.frame import Frame
    from camera.optics import Optics
    from models.checkpoint import NetSpec
    from models.data import PairSet
    from models.evaluate import Method
    from models.export_onnx import Probe
    from models.training import TrainingPlan

_TRAIN_EXTRA = "pip install 'qpi-live[train]'"

Folder = Annotated[Path, typer.Argument(help="Folder of pairs, as `qpi pairs` writes it.")]
Run = Annotated[Path, typer.Argument(help="Folder of the run; a run that is there goes on where it stopped.")]
Epochs = Annotated[int, typer.Option(help="Epochs in all.")]
Minutes = Annotated[float | None, typer.Option(help="Time in all, over every resumption; ends before the epochs do.")]
Crop = Annotated[int, typer.Option(help="Edge of the training crops in px; 32 divides it.")]
Batch = Annotated[int, typer.Option(help="Crops per step and process.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate of Adam.")]
ValidateEvery = Annotated[int, typer.Option(help="Epochs between validations.")]
ValidationFrames = Annotated[int | None, typer.Option(help="Frames to validate on; all by default.")]
Seed = Annotated[int, typer.Option(help="Of the first weights and of every crop.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of each process.")]
MixedPrecision = Annotated[
    bool | None, typer.Option("--bf16/--fp32", help="Precision of training; by default bf16 on a GPU, fp32 on a CPU.")
]
StopAfter = Annotated[int | None, typer.Option(help="Stop after so many epochs of the plan; run again to go on.")]
Start = Annotated[
    Path | None, typer.Option(help="Start from these weights: a state dict of tensors, or a checkpoint of `qpi train`.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line `app`."""
    for command in (instrument, pairs, label, gather, search, prune, train, evaluate, export):
        app.command()(command)


def instrument(
    recording: Annotated[str, typer.Argument(help="A camera, as for `qpi serve --camera`: replay:PATH, …")],
    out: Annotated[Path, typer.Argument(help="Instrument file to write (JSON).")],
    frames: Annotated[int, typer.Option(help="Frames to measure.")] = 4,
    size: Annotated[int | None, typer.Option(help="Edge of the measured frames; whole frames by default.")] = None,
    write_size: Annotated[int | None, typer.Option(help="Edge of the frames the instrument file is for.")] = 1024,
    wavelength_nm: Annotated[float | None, typer.Option(help="Where the recording does not say.")] = None,
    pixel_um: Annotated[
        float | None, typer.Option(help="Sensor's pixel pitch, where the recording does not say.")
    ] = None,
    magnification: Annotated[float, typer.Option(help="From object to sensor.")] = 1.0,
    name: Annotated[str, typer.Option(help="Name of the instrument.")] = "",
) -> None:
    """Measure an instrument from a few real frames: carrier, band limit, beam, contrast, noise, aberration."""
    from camera.optics import Optics
    from models.instrument import measure_instrument

    with _one_clear_line():
        given = None if wavelength_nm is None else Optics(wavelength_nm * 1e-9, _metres(pixel_um), magnification)
        read, optics = _read(recording, frames, size, given)
        if optics is None:
            raise ValueError("expected to know the wavelength, got a recording that does not say; add --wavelength-nm")
        measured = measure_instrument(read, optics, name or Path(recording.partition(":")[2] or recording).stem)
        kept = measured.instrument
        if write_size:
            kept = replace(kept, shape=(write_size, write_size))
        out.write_text(kept.to_json())
    fy, fx = kept.fringes.carrier_cycles_per_px
    lowest, highest = measured.contrast_range
    _print_table(
        f"{kept.name}, from {measured.frames} frame(s) of {read[0].shape[0]} × {read[0].shape[1]} px",
        ("quantity", "value"),
        [
            ("carrier", f"({fy:.4f}, {fx:.4f}) cycles/px, period {kept.fringes.period_px:.2f} px"),
            ("band limit", f"{measured.band_limit_cycles_per_px:.3f} cycles/px"),
            ("fringe contrast", f"{kept.fringes.contrast:.2f} ({lowest:.2f} … {highest:.2f} across the frame)"),
            ("noise outside the bands", f"{measured.noise_grey:.1f} grey values RMS"),
            ("background", f"{measured.background_rms_rad:.2f} rad RMS around its level"),
            ("scatter", f"{kept.speckle.strength if kept.speckle else 0:.2f} of the object field"),
            ("written to", str(out)),
        ],
    )


def pairs(
    instrument: Annotated[Path, typer.Argument(help="Instrument file of `qpi instrument`.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    training: Annotated[int, typer.Option(help="Pairs to train on.")] = 276,
    validation: Annotated[int, typer.Option(help="Pairs to validate on.")] = 60,
    test: Annotated[int, typer.Option(help="Pairs to measure on, never seen in training.")] = 62,
    size: Annotated[int | None, typer.Option(help="Edge of the frames; the instrument's own by default.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same pairs.")] = 1,
    processes: Annotated[int, typer.Option(help="How many simulate side by side.")] = 2,
) -> None:
    """Simulate pairs of interferogram and true phase, of a measured instrument under varied conditions."""
    from camera.instrument import Instrument
    from models.simulate import simulate_pairs

    with _one_clear_line():
        measured = Instrument.from_file(instrument)
        if size:
            measured = replace(measured, shape=(size, size))
        splits = {"train": training, "validation": validation, "test": test}
        with _bar("pairs", sum(splits.values())) as advance:
            simulate_pairs(measured, folder, splits, seed, processes=processes, on_pair=advance)


def label(
    recording: Annotated[str, typer.Argument(help="A camera, as for `qpi serve --camera`: replay:PATH, …")],
    folder: Annotated[Path, typer.Argument(help="Folder of pairs to write.")],
    calibration: Annotated[Path | None, typer.Option(help="File of a sample-free interferogram.")] = None,
    frames: Annotated[int, typer.Option(help="Frames to look at.")] = 398,
    size: Annotated[int | None, typer.Option(help="Edge of the frames; whole frames by default.")] = None,
) -> None:
    """Make pairs of real frames by the classical chain, leaving out those whose phase cannot be trusted."""
    from camera.frame import Frame
    from camera.image_file import read_image
    from models.engine import EngineOptions
    from models.engines.classical import ClassicalEngine
    from models.label import label as run_label

    with _one_clear_line():
        read, optics = _read(recording, frames, size, None)
        engine = ClassicalEngine(EngineOptions(optics=optics))
        if calibration is not None:
            image = read_image(calibration)
            engine.use_calibration(Frame(image.pixels, image.bit_depth, 0, 0, 0))
        origin = {"recording": recording, "calibration": str(calibration) if calibration else None}
        done = run_label(read, engine, folder, origin)
    for reason, count in done.left_out.items():
        typer.echo(f"left out {count}: {reason}")
    typer.echo(f"{done.written} pairs → {folder}")


def gather(
    interferograms: Annotated[Path, typer.Argument(help="Folder of interferograms (.npy, TIFF, PNG, BMP).")],
    phases: Annotated[Path, typer.Argument(help="Folder of phases in rad, of the same names (.npy, TIFF).")],
    folder: Annotated[Path, typer.Argument(help="Folder of pairs to write.")],
) -> None:
    """Make a folder of pairs from your own interferograms and phases."""
    from models.label import read_pairs, write_split

    with _one_clear_line():
        found, bit_depth = read_pairs(interferograms, phases)
        write_split(found, folder, bit_depth, {"kind": "gathered", "interferograms": str(interferograms)})
    typer.echo(f"{len(found)} pairs → {folder}")


def search(
    data: Folder,
    run: Run,
    space: Annotated[
        str, typer.Option(help="nasprnet (100 connections) or sparsemask (its smaller space).")
    ] = "nasprnet",
    epochs: Epochs = 300,
    minutes: Minutes = None,
    crop: Crop = 512,
    batch: Batch = 2,
    learning_rate: Rate = 0.008,
    binary_ratio: Annotated[float, typer.Option(help="α of eq. 3.")] = 5e-3,
    sparsity_ratio: Annotated[float, typer.Option(help="β of eq. 3.")] = 5e-4,
    validate_every: ValidateEvery = 1,
    validation_frames: ValidationFrames = None,
    seed: Seed = 0,
    threads: Threads = None,
    stop_after: StopAfter = None,
    bf16: MixedPrecision = None,
    start: Start = None,
) -> None:
    """Search for the connections: train super-PRNet with its connection weights."""
    with _one_clear_line():
        from models.search import search as run_search

        plan = _plan(
            epochs,
            minutes,
            crop,
            batch,
            learning_rate,
            validate_every,
            validation_frames,
            seed,
            threads,
            stop_after,
            bf16,
        )
        run_search(
            run,
            data,
            plan,
            space=space,
            binary_ratio=binary_ratio,
            sparsity_ratio=sparsity_ratio,
            start=_weights(start),
        )


def prune(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of `qpi search`, usually RUN/best.pt.")],
    out: Annotated[Path, typer.Argument(help="Connections file to write (JSON); the drawing goes beside it (SVG).")],
    threshold: Annotated[float, typer.Option(help="σ: weights below it are dropped.")] = 0.5,
    at_most: Annotated[
        int | None, typer.Option(help="Tune σ instead: the lowest that leaves no more connections than this.")
    ] = None,
) -> None:
    """Prune a searched network to the connections that matter."""
    with _one_clear_line():
        from models.checkpoint import Checkpoint
        from models.prune import lowest_threshold, save_pruned

        searched = Checkpoint.load(checkpoint)
        if at_most is not None:
            threshold = lowest_threshold(searched, at_most)
        kept = save_pruned(out, searched, threshold)
    typer.echo(f"{len(kept)} connections at σ = {threshold:.2f} → {out} and {out.with_suffix('.svg')}")


def train(
    data: Folder,
    run: Run,
    net: Annotated[str, typer.Option(help="nasprnet, sparsemask, unet or narrow-unet.")] = "nasprnet",
    connections: Annotated[Path | None, typer.Option(help="Connections file of `qpi prune`.")] = None,
    epochs: Epochs = 200,
    minutes: Minutes = None,
    crop: Crop = 512,
    batch: Batch = 2,
    learning_rate: Rate = 0.008,
    validate_every: ValidateEvery = 1,
    validation_frames: ValidationFrames = None,
    seed: Seed = 0,
    threads: Threads = None,
    stop_after: StopAfter = None,
    bf16: MixedPrecision = None,
    start: Start = None,
    search: Annotated[
        Path | None, typer.Option(help="Start from what this checkpoint of `qpi search` has learned.")
    ] = None,
    loss: Annotated[
        str, typer.Option(help="mixge (the paper's) or root-mixge, which lets hard conditions not outweigh the rest.")
    ] = "mixge",
) -> None:
    """Train a network to retrieve phase."""
    with _one_clear_line():
        from models.train import train as run_train

        plan = _plan(
            epochs,
            minutes,
            crop,
            batch,
            learning_rate,
            validate_every,
            validation_frames,
            seed,
            threads,
            stop_after,
            bf16,
        )
        spec = _spec(net, connections)
        first = _weights(start) if search is None else _inherited(search, spec)
        origin = search or start
        started_from = str(origin) if origin else "random weights"
        run_train(run, data, spec, plan, start=first, started_from=started_from, phase_loss=loss)


def evaluate(
    data: Folder,
    folder: Annotated[Path, typer.Argument(help="Folder to write scores.csv and pictures to.")],
    networks: Annotated[list[Path], typer.Argument(help="Networks of `qpi export` (ONNX).")],
    split: Annotated[str, typer.Option(help="Which pairs.")] = "test",
    classical: Annotated[
        bool, typer.Option(help="Also the classical chain, with and without a calibration frame.")
    ] = True,
) -> None:
    """Measure networks on pairs they never saw, beside the classical chain on the same frames."""
    with _one_clear_line():
        from models.data import PairSet
        from models.evaluate import classical_method, table
        from models.evaluate import evaluate as run_evaluate

        chosen = PairSet(data, split)
        methods: dict[str, Method] = {path.stem: _network_method(path, chosen) for path in networks}
        if classical and "instrument" in chosen.manifest["origin"]:
            methods["classical"] = classical_method(chosen, calibrated=False)
            methods["classical-calibrated"] = classical_method(chosen, calibrated=True)
        with _bar("pairs", len(chosen)) as advance:
            scores = run_evaluate(chosen, methods, folder, advance)
    rows = [(c, m, str(n), f"{p:.2f}", f"{w:.2f}", f"{s:.3f}") for c, m, n, p, w, s in table(scores)]
    _print_table(f"{split} pairs of {data}", ("condition", "method", "pairs", "PSNR, dB", "worst, dB", "SSIM"), rows)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of `qpi train`, usually RUN/best.pt.")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write.")],
    data: Annotated[Path, typer.Option(help="Folder of pairs to compare (and calibrate int8) on.")],
    recording: Annotated[str, typer.Option(help="Camera with real frames to compare on too.")] = "",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    size: Annotated[int | None, typer.Option(help="Fixed edge of the frames; any that fits by default.")] = None,
    probes: Annotated[int, typer.Option(help="Pairs to compare on.")] = 8,
) -> None:
    """Export a network as ONNX, grey values in and phase in rad out, if it agrees with torch."""
    with _one_clear_line():
        from models.checkpoint import Checkpoint
        from models.data import PairSet
        from models.export_onnx import ExportError, Probe
        from models.export_onnx import export as run_export

        trained = Checkpoint.load(checkpoint)
        compared = _probes(PairSet(data, "validation"), probes)
        if recording:
            compared += [Probe(frame.pixels) for frame in _read(recording, 2, compared[0].pixels.shape[0], None)[0]]
        try:
            agreement = run_export(trained, out, compared, precision=precision, shape=(size, size) if size else None)
        except ExportError as error:
            raise ValueError(str(error)) from error
    typer.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, at most {agreement.largest_difference_rad:.2g} rad from torch, "
        f"PSNR {agreement.psnr_db:.2f} dB (torch {agreement.torch_psnr_db:.2f})"
    )


def _plan(
    epochs: int,
    minutes: float | None,
    crop: int,
    batch: int,
    learning_rate: float,
    validate_every: int,
    validation_frames: int | None,
    seed: int,
    threads: int | None,
    stop_after: int | None,
    bf16: bool | None,
) -> TrainingPlan:
    from models.training import TrainingPlan

    return TrainingPlan(
        crop=crop,
        batch=batch,
        epochs=epochs,
        minutes=minutes,
        learning_rate=learning_rate,
        validate_every=validate_every,
        validation_frames=validation_frames,
        seed=seed,
        threads=threads,
        stop_after=stop_after,
        mixed_precision=bf16,
    )


def _spec(net: str, connections: Path | None) -> NetSpec:
    from models.checkpoint import NETS, NetSpec
    from models.nets.connections import load_connections

    if net not in NETS or net == "superprnet":
        raise ValueError(f"expected a network among {', '.join(NETS[1:])}, got {net!r}")
    if net not in ("nasprnet", "sparsemask"):
        return NetSpec(net)
    if connections is None:
        raise ValueError(f"expected --connections FILE for {net}, got none; `qpi prune` writes one")
    return NetSpec(net, load_connections(connections))


def _weights(path: Path | None) -> dict[str, Tensor] | None:
    from models.checkpoint import load_weights

    return None if path is None else load_weights(path)


def _inherited(search: Path, spec: NetSpec) -> dict[str, Tensor]:
    from models.checkpoint import Checkpoint
    from models.prune import inherited_weights

    return inherited_weights(Checkpoint.load(search), spec.connections)


def _network_method(path: Path, pairs: PairSet) -> Method:
    from camera.frame import Frame
    from models.engine import EngineOptions
    from models.engines.onnx import OnnxEngine

    engine = OnnxEngine(EngineOptions(), path)

    return lambda pixels, _number: engine.retrieve(Frame(pixels, pairs.bit_depth, 0, 0, 0)).phase_rad


def _probes(pairs: PairSet, count: int) -> list[Probe]:
    from models.export_onnx import Probe

    step = max(1, len(pairs) // count)
    return [Probe(pairs.pixels(n), pairs.phase_rad(n)) for n in range(0, len(pairs), step)][:count]


def _read(recording: str, count: int, size: int | None, optics: Optics | None) -> tuple[list[Frame], Optics | None]:
    """The first frames of a camera, and its optics unless others are given."""
    from camera.source import CameraOptions, open_camera

    shape = None if size is None else (size, size)
    camera = open_camera(recording, CameraOptions(shape=shape, frame_rate_hz=0, loop=False))
    camera.start()
    try:
        read: list[Frame] = []
        while len(read) < count:
            frame = camera.read(10.0)
            if frame is None:
                break
            read.append(frame)
    finally:
        camera.stop()
    return read, optics or camera.identity.optics


def _metres(micrometres: float | None) -> float | None:
    return None if micrometres is None else micrometres * 1e-6


@contextmanager
def _one_clear_line() -> Iterator[None]:
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
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
