"""The command that makes a network for one's own microscope from a recording of it: adapt."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from qpi_live.models.artifacts.promotions import FOLDER, Kind
from qpi_live.service.cli.console import bar, one_clear_line
from qpi_live.service.cli.networks.frames import read_frames
from qpi_live.service.cli.networks.models import Networks, PerCondition, RecordedFrames, examine, judged, show
from qpi_live.service.cli.networks.options import Channel, Processes, Recording, Run, Size

if TYPE_CHECKING:
    from qpi_live.models.promotion.registry import Registry

_LONGEST_STEM = 50
_TO_MEASURE = 4  # frames; more say nothing new of an instrument


def adapt(
    recording: Recording,
    run: Run,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to train, in all, over every resumption.")] = 60,
    pairs: Annotated[int, typer.Option(min=4, help="Simulated pairs to train on; some 5 s each at 1024².")] = 200,
    name: Annotated[str, typer.Option(help="What to call the network; after the recording by default.")] = "",
    frames: RecordedFrames = 8,
    size: Size = None,
    channel: Channel = "",
    wavelength_nm: Annotated[float | None, typer.Option(help="Where the recording does not say.")] = None,
    pixel_um: Annotated[
        float | None, typer.Option(help="Sensor's pixel pitch, where the recording does not say.")
    ] = None,
    magnification: Annotated[float | None, typer.Option(help="From object to sensor, beside --pixel-um.")] = None,
    judged_on: PerCondition = 4,
    precision: Annotated[
        str, typer.Option(help="int8 or fp32; by default int8 where only a CPU is to run the network.")
    ] = "",
    processes: Processes = 2,
    threads: Annotated[int | None, typer.Option(help="CPU threads to train with.")] = None,
    networks: Networks = FOLDER,
) -> None:
    """Make a network for your microscope from a recording of it, and put it in force if it is better.

    Measures the instrument, simulates pairs of it, trains the shipped network on for --minutes, and exports it. Then
    the gate of `qpi models promote` judges it on simulated and recorded frames. Run it again to go on where it stopped.
    """
    with one_clear_line():
        from qpi_live.camera.optics import Optics, StatedOptics
        from qpi_live.models.export.precision import check_precision
        from qpi_live.models.promotion.adapt import Adaptation, Asked, why_no_gain
        from qpi_live.models.promotion.judgement import put_in_force
        from qpi_live.models.promotion.registry import Registry, check_name

        registry = Registry(networks.expanduser())
        called = name or _name_of(recording)
        check_name(called)  # now, not after an hour's training
        precision = precision or _precision_here(registry)
        check_precision(precision)
        adaptation = Adaptation(run, Asked(recording, pairs, size, channel))
        read, known = read_frames(recording, frames, size, channel)
        optics = StatedOptics(wavelength_nm, pixel_um, magnification).over(known) or Optics(None)
        instrument = adaptation.instrument(read[:_TO_MEASURE], optics, called)
        typer.echo(
            f"1 of 4: the instrument has fringes of {instrument.fringes.period_px:.2f} px, measured in {recording}"
        )
        with bar("pairs", adaptation.pairs_to_make) as advance:
            data = adaptation.pairs(instrument, processes, advance)
        typer.echo(f"2 of 4: {pairs} pairs in {data}")
        checkpoint = adaptation.train(data, minutes, threads)
        typer.echo(
            f"3 of 4: trained for {checkpoint.elapsed_s / 60:.1f} min, {checkpoint.psnr_db:.1f} dB on validation"
        )
        path = adaptation.export(checkpoint, data, precision)
        entry = registry.add(path, registry.free_name(called, path))
        typer.echo(f"4 of 4: {entry.name} is in {networks}")
        verdict = judged(registry, entry, examine(instrument, judged_on, processes, read, known))
        show(verdict)
        why_not = why_no_gain(verdict)
        if why_not is None:
            put_in_force(registry, verdict)
    if why_not is not None:
        typer.echo(f"Not better, so nothing was promoted: {why_not}. Train on with more --minutes and --pairs.")
        sys.exit(1)
    typer.echo(f"{entry.name} is in force; before it was {verdict.before.name}. `qpi models rollback` goes back.")


def _name_of(recording: str) -> str:
    stem = Path(recording.partition(":")[2] or recording).name.partition(".")[0]
    plain = re.sub(r"[^\w-]+", "-", stem)[:_LONGEST_STEM].strip("-_")
    return f"{plain or 'mine'}-adapted"


def _precision_here(registry: Registry) -> str:
    return getattr(registry.shipped(Kind.NETWORK).card, "precision", "fp32")
