"""The commands that make what networks train on: instrument, pairs, label, gather, cultures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from qpi_live.service.cli.console import bar, one_clear_line, print_table
from qpi_live.service.cli.networks.frames import read_frames
from qpi_live.service.cli.networks.options import (
    Channel,
    Frames,
    NewFolder,
    Processes,
    Recording,
    SetSeed,
    Size,
    Training,
    Validation,
)


def instrument(
    recording: Recording,
    out: Annotated[Path, typer.Argument(help="Instrument file to write (JSON).")],
    frames: Frames = 4,
    size: Size = None,
    write_size: Annotated[int | None, typer.Option(help="Edge of the frames the instrument file is for.")] = 1024,
    wavelength_nm: Annotated[float | None, typer.Option(help="Where the recording does not say.")] = None,
    pixel_um: Annotated[
        float | None, typer.Option(help="Sensor's pixel pitch, where the recording does not say.")
    ] = None,
    magnification: Annotated[float | None, typer.Option(help="From object to sensor, beside --pixel-um.")] = None,
    name: Annotated[str, typer.Option(help="Name of the instrument.")] = "",
    channel: Channel = "",
) -> None:
    """Measure an instrument from a few real frames: carrier, band limit, beam, contrast, noise, aberration."""
    from qpi_live.camera.optics import Optics, StatedOptics
    from qpi_live.models.training.measurement import measure_instrument

    with one_clear_line():
        if magnification is not None and pixel_um is None:
            raise ValueError(
                f"expected the pixel pitch beside a magnification of {magnification:g}, got none; add --pixel-um"
            )
        read, known = read_frames(recording, frames, size, channel)
        optics = StatedOptics(wavelength_nm, pixel_um, magnification).over(known) or Optics(None)
        measured = measure_instrument(read, optics, name or Path(recording.partition(":")[2] or recording).stem)
        kept = measured.instrument
        if write_size:
            kept = replace(kept, shape=(write_size, write_size))
        out.write_text(kept.to_json())
    fy, fx = kept.fringes.carrier_cycles_per_px
    lowest, highest = measured.contrast_range
    print_table(
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
    folder: NewFolder,
    training: Training = 276,
    validation: Validation = 60,
    test: Annotated[int, typer.Option(help="Pairs to measure on, never seen in training.")] = 62,
    size: Annotated[int | None, typer.Option(help="Edge of the frames; the instrument's own by default.")] = None,
    seed: SetSeed = 1,
    mix: Annotated[
        str | None, typer.Option(help="Share of each condition, as in nominal=0.6,dense=0.3,harsh=0.1, the default.")
    ] = None,
    processes: Processes = 2,
) -> None:
    """Simulate pairs of interferogram and true phase, of a measured instrument under varied conditions."""
    from qpi_live.camera.simulation.instrument import Instrument
    from qpi_live.models.training.simulate import TRAINING_MIX, parse_mix, simulate_pairs

    with one_clear_line():
        measured = Instrument.from_file(instrument)
        if size:
            measured = replace(measured, shape=(size, size))
        splits = {"train": training, "validation": validation, "test": test}
        shares = TRAINING_MIX if mix is None else parse_mix(mix)
        with bar("pairs", sum(splits.values())) as advance:
            simulate_pairs(measured, folder, splits, seed, shares, processes=processes, on_pair=advance)


def label(
    recording: Recording,
    folder: NewFolder,
    calibration: Annotated[Path | None, typer.Option(help="File of a sample-free interferogram.")] = None,
    frames: Frames = 398,
    size: Size = None,
    channel: Channel = "",
) -> None:
    """Make pairs of real frames by the classical chain, leaving out those whose phase cannot be trusted."""
    from qpi_live.camera.files.image_file import read_image
    from qpi_live.camera.frame import Frame
    from qpi_live.models.engine import EngineOptions
    from qpi_live.models.engines.classical import ClassicalEngine
    from qpi_live.models.training.label import label as run_label

    with one_clear_line():
        read, optics = read_frames(recording, frames, size, channel)
        engine = ClassicalEngine(EngineOptions(optics=optics))
        if calibration is not None:
            image = read_image(calibration)
            engine.use_calibration(Frame.untimed(image.pixels, image.bit_depth), force=True)
        origin = {"recording": recording, "calibration": str(calibration) if calibration else None}
        done = run_label(read, engine, folder, origin)
    for reason, count in done.left_out.items():
        typer.echo(f"left out {count}: {reason}")
    typer.echo(f"{done.written} pairs → {folder}")


def gather(
    interferograms: Annotated[Path, typer.Argument(help="Folder of interferograms (.npy, TIFF, PNG, BMP).")],
    phases: Annotated[Path, typer.Argument(help="Folder of phases in rad, of the same names (.npy, TIFF).")],
    folder: NewFolder,
) -> None:
    """Make a folder of pairs from your own interferograms and phases."""
    from qpi_live.models.training.label import read_pairs, write_split

    with one_clear_line():
        found, bit_depth = read_pairs(interferograms, phases)
        write_split(found, folder, bit_depth, {"kind": "gathered", "interferograms": str(interferograms)})
    typer.echo(f"{len(found)} pairs → {folder}")


def cultures(
    folder: NewFolder,
    training: Training = 1500,
    validation: Validation = 64,
    seed: SetSeed = 1,
    processes: Processes = 2,
) -> None:
    """Render cells without a microscope: what the learned background trains on."""
    from qpi_live.models.training.cultures import render_cultures

    with one_clear_line(), bar("cultures", training + validation) as advance:
        render_cultures(folder, training, validation, seed, processes, advance)
    typer.echo(f"{training + validation} cultures → {folder}")
