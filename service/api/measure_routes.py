"""Cells over REST: their figures now, one cell through time, what counts as a cell.

No figures wait long: what is not measured in time goes on being measured, and the newest table there is answers.
A file does wait: whoever saves one looks at their browser's progress bar, not at a live picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from time import monotonic
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from qpi_live.models.analysis.cells import CELL_COLUMNS
from qpi_live.models.analysis.outlines import outlines
from qpi_live.service.api import measure_schemas as schemas
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.api.schemas import Account
from qpi_live.service.http.bounded_threads import Busy
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.measuring.measurer import Measured, cell_table, source_of
from qpi_live.service.station import Station

router = APIRouter(tags=["measure"], responses=problems(422, 503))
_NEWEST_EVENTS = 50
_PATIENCE_S = 1.0  # the first frame may wait for the compiler far longer
_PATIENCE_FOR_FILE_S = 30.0
AT_WORK = "expected measured cells, and the frame is still being measured; ask again in a moment"
Done = TypeVar("Done")
_FILES = {"table.csv": "", "tracks.xml": "", "labels.tiff": "", "table.parquet": "pyarrow", "labels.zarr.zip": "zarr"}
_TRACK_COLUMNS = {
    "id": "which it keeps from frame to frame",
    "parent": "id of the cell that divided into it; 0: none",
    "merged": "ids of cells that went up in it",
    "seen_s": "for how long it has been followed",
}
_GROWTH_COLUMNS = {
    "growth_per_h": "rate of its exponential growth, by a weighted fit",
    "growth_error_per_h": "standard error of that",
}


def file_answer(kind: str) -> dict[int | str, dict[str, object]]:
    """How a file is described."""
    return {200: {"description": "the file", "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


def newest_of(station: Station) -> LiveFrame:
    """The newest frame; 503 where none has come."""
    newest = station.hub.latest
    if newest is None:
        raise HTTPException(503, f"expected a frame, and none has come yet: {station.pipeline.state.sentence}")
    return newest


def frame_answer(station: Station, measured: Measured) -> schemas.Frame:
    """Which frame was measured, and how."""
    return schemas.Frame(
        sequence=measured.sequence,
        captured_ns=measured.captured_ns,
        epoch=measured.epoch,
        camera=measured.source,
        level_rad=measured.level_rad,
        took_ms=measured.took_ms,
        missing=list(measured.scale.missing),
        resting=_resting(station, measured.source),
        account=Account.of(station.measurer.account),
    )


def _resting(station: Station, camera: str) -> str | None:
    newest = station.hub.latest
    if newest is None or source_of(newest) != camera:
        return None
    return station.measurer.choices(camera).resting(newest.frame) or None


async def soon(station: Station, work: Callable[[], Done], patience_s: float = _PATIENCE_S) -> Done | None:
    """What `work` returns, done beside the other requests; None where it takes long, and it goes on then."""
    try:
        return await asyncio.wait_for(station.measuring_requests.run(work), patience_s)
    except (TimeoutError, Busy):
        return None


async def _cells_within(station: Station, patience_s: float) -> Measured:
    newest, latest = newest_of(station), station.measurer.latest_cells
    choices = station.measurer.choices(source_of(newest))
    if latest is not None and (latest.epoch, latest.source) != (newest.frame.epoch, source_of(newest)):
        latest = None
    if choices.finds_cells and latest is not None and latest.choices == choices:
        return latest
    measured = await soon(station, lambda: station.measurer.measure(newest, finds_cells=True), patience_s) or latest
    if measured is None or measured.cells is None:
        raise HTTPException(503, AT_WORK, {"retry-after": "1"})
    return measured


async def _cells_now(station: AtStation) -> Measured:
    """The cells measured last, or those of the newest frame where they are not looked for all the time."""
    return await _cells_within(station, _PATIENCE_S)


async def _cells_for_file(station: AtStation) -> Measured:
    """Likewise, for somebody who waits."""
    return await _cells_within(station, _PATIENCE_FOR_FILE_S)


CellsNow = Annotated[Measured, Depends(_cells_now)]
CellsForFile = Annotated[Measured, Depends(_cells_for_file)]


async def _outlines_now(
    station: AtStation,
    measured: CellsNow,
    with_outlines: Annotated[bool, Query(alias="outlines", description="whether to send their outlines")] = False,
) -> list[list[list[int]]] | None:
    found = measured.cells
    if not with_outlines or found is None:
        return None
    traced = await soon(station, lambda: [corners.tolist() for corners in outlines(found.segmentation)])
    if traced is None:
        raise HTTPException(503, AT_WORK, {"retry-after": "1"})
    return traced


def _choice(station: Station, camera: str) -> schemas.CellChoice:
    choices = station.measurer.choices(camera)
    cells = choices.cells
    return schemas.CellChoice(
        finds_cells=choices.finds_cells,
        alpha_um3_per_pg=choices.alpha_um3_per_pg,
        threshold_rad=cells.threshold_rad,
        noises=cells.noises,
        least_px=cells.least_px,
        dip=cells.dip,
        clear_border=cells.clear_border,
    )


@router.get("/cells", summary="The cells of the newest frame that was measured")
def cells(
    station: AtStation,
    measured: CellsNow,
    traced: Annotated[list[list[list[int]]] | None, Depends(_outlines_now)],
) -> schemas.CellsAnswer:
    """Where cells are not looked for all the time, those of the newest frame, measured now.

    Where that takes more than a second, the table measured last, or 503 before the first.
    """
    found = measured.cells
    if found is None:
        raise HTTPException(503, AT_WORK)
    with station.measurer.steady:
        series = station.measurer.series
        table = cell_table(measured, series)
        events, now = list(series.tracker.events)[-_NEWEST_EVENTS:], monotonic()
    names = {**_TRACK_COLUMNS, **CELL_COLUMNS, **_GROWTH_COLUMNS}
    return schemas.CellsAnswer(
        frame=frame_answer(station, measured),
        count=len(found),
        confluence=found.confluence,
        noise_rad=found.segmentation.noise_rad,
        threshold_rad=found.segmentation.threshold_rad,
        columns={name: names[name] for name in table},
        cells=[dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)],
        outlines=traced,
        events=[
            schemas.CellEvent(kind=event.kind, id=event.id, others=list(event.others), seconds_ago=now - event.time_s)
            for event in events
        ],
        files=[name for name, package in _FILES.items() if not package or find_spec(package)],
        choice=_choice(station, measured.source),
    )


@router.put("/cells/choice", summary="Say what counts as a cell, and whether to look for cells all the time")
def choose_cells(station: AtStation, choice: schemas.CellChoice) -> schemas.CellChoice:
    """Holds for this camera from the next frame on, and is kept."""
    camera = station.cameras.chosen
    before = station.measurer.choices(camera)
    station.measurer.choose(
        camera,
        replace(
            before,
            finds_cells=choice.finds_cells,
            alpha_um3_per_pg=choice.alpha_um3_per_pg,
            cells=choice.settings(),
        ),
    )
    return _choice(station, camera)


@router.get("/cells/choice", summary="What counts as a cell")
def cell_choice(station: AtStation) -> schemas.CellChoice:
    """As chosen for this camera."""
    return _choice(station, station.cameras.chosen)


@router.post("/cells/forget", summary="Begin tracks and histories anew")
def forget(station: AtStation) -> schemas.CellChoice:
    """Ids begin at 1 again, regions' histories are empty; what counts as a cell stays."""
    station.measurer.forget()
    return cell_choice(station)


@router.get("/cells/{number}", summary="One cell through time", responses=problems(404))
def cell(
    station: AtStation,
    measured: CellsNow,
    number: Annotated[int, Path(description="the cell's id, as in the table", ge=1)],
) -> schemas.CellHistory:
    """Its dry mass since it was first seen, in pg where the optics are known, and how fast it grows."""
    with station.measurer.steady:
        tracker = station.measurer.series.tracker
        track = next((one for one in (*tracker.tracks, *tracker.ended) if one.id == number), None)
        if track is None:
            raise HTTPException(404, f"expected the id of a cell that was seen, got {number}")
        rows, grown = track.history, track.growth()
    to_pg = measured.scale.pg_per_rad_px
    return schemas.CellHistory(
        id=track.id,
        parent=track.parent,
        merged=list(track.merged),
        time_s=(rows[:, 1] - track.since_s).tolist(),
        mass=(rows[:, 5] * (to_pg or 1)).tolist(),
        mass_error=(rows[:, 7] * (to_pg or 1)).tolist(),
        unit="rad px" if to_pg is None else "pg",
        growth_per_h=grown.rate_per_s * 3600 if grown else None,
        growth_error_per_h=grown.rate_error_per_s * 3600 if grown else None,
        doubling_h=grown.doubling_s / 3600 if grown and grown.doubling_s else None,
    )


def named(name: str) -> dict[str, str]:
    """The header by which a browser saves a file under its name."""
    return {"content-disposition": f'attachment; filename="{name}"'}
