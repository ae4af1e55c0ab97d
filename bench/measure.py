"""How right cells, tracks, growth and focus are, against simulated truth, and how long a frame takes.

    python bench/measure.py
    python bench/measure.py --frames 500 --size 1024 --json result.json

Colonies of known cells are looked at through the simulated microscope. Every frame takes the whole way, from the
interferogram through the classical engine to the table of cells. `nominal` cells stand apart, `dense` ones cover half
of the frame and touch, the latter also with the learned background. A cell's dry mass is compared with the sum of the
phase that it was made with. Identities are those of cells that wander at 20 frames a second. Kept is the share of
sightings under the id that a cell has most. The culture grows and divides at known rates. Frames out of focus are
brought back by autofocus, with each metric; the depth of field is nλ/NA². They are exposed with room for the light that
cells focus, and once more as the other frames are: what is saturated has lost light, which no metric can bring back. A
mass is far off where it is off by a tenth. Flagged cells say that their own error is above 5 %. Times are those of all
cores; beside them stand scikit-image's watershed and regionprops on the same frame, its watershed alone on a quarter of
the resolution, and nrefocus.
The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from qpi_live.bench.measuring.cells import growing, moving, still
from qpi_live.bench.measuring.colonies import COLONIES
from qpi_live.bench.measuring.focus import focus
from qpi_live.bench.measuring.times import times
from qpi_live.bench.report import console, finish, latency_table
from qpi_live.camera.simulation.conditions import example_of
from qpi_live.models.engine import LEARNED
from rich.table import Table


def main(
    frames: Annotated[int, typer.Option(help="Frames of the moving cells.")] = 500,
    size: Annotated[int, typer.Option(help="Edge of the still frames, pixels.")] = 1024,
    repeats: Annotated[int, typer.Option(help="Calls of each that is timed.")] = 40,
    seeds: Annotated[int, typer.Option(help="Still frames of each colony.")] = 4,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the result here.")] = None,
) -> None:
    """See the file's head."""
    instrument = replace(example_of("nominal")[0], shape=(size, size))
    cells = {name: still(instrument, specimen, size, seeds) for name, specimen in COLONIES.items()}
    cells["dense, learned background"] = still(instrument, COLONIES["dense"], size, seeds, LEARNED)
    result = {
        "still": cells,
        "moving": moving(instrument, frames, size),
        "growing": growing(instrument, max(20, frames // 4), size),
        "focus": focus(instrument, min(size, 512)),
        "times_ms": times(instrument, repeats, size),
    }
    _show(cells, result["moving"], result["growing"], result["focus"])
    console.print(latency_table("A frame of 70 cells", result["times_ms"], {}))
    finish(result, json_file)


def _show(still: dict[str, Any], moving: dict[str, Any], growing: dict[str, Any], focus: dict[str, Any]) -> None:
    table = Table(title="Cells against the truth", title_justify="left")
    columns = (
        "colony",
        "cells",
        "mass off, median",
        "95 %",
        "worst",
        "within its error",
        "twice",
        "flagged",
        "counted",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in still.items():
        offs = [f"{100 * row[f'mass_error_{part}']:.2f} %" for part in ("p50", "p95", "max")]
        offs += [f"{100 * row[key]:.0f} %" for key in ("within_stated", "within_twice_stated")]
        flagged = f"{row['uncertain']}; {row['far_off_and_uncertain']} of {row['far_off']} far off"
        table.add_row(name, str(row["cells"]), *offs, flagged, f"{row['count_found']} of {row['count_true']}")
    console.print(table)
    console.print(
        f"Identities over {moving['frames']} frames of {moving['cells']} cells: {100 * moving['kept']:.2f} % kept, "
        f"{100 * moving['one_id_for_life']:.1f} % of the cells have one id for life"
    )
    console.print(
        f"Growth over {growing['frames']} frames: culture {100 * growing['culture_rate_error']:+.2f} %, mean of "
        f"{growing['cells']} cells {100 * growing['cell_rate_error_mean']:+.2f} %; divisions "
        f"{growing['divisions_found']} of {growing['divisions_true']}"
    )
    for light, by_metric in focus["worst_error_um"].items():
        worst = ", ".join(f"{metric} {value:.2f}" for metric, value in by_metric.items())
        console.print(f"Focus off by at most, µm (depth of field {focus['depth_of_field_um']:.2f}), {light}: {worst}")


if __name__ == "__main__":
    typer.run(main)
