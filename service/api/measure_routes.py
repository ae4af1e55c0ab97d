"""Cells and regions over REST: their figures now, their tables as files, what is measured."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response
from qpi_live.models.analysis.autofocus import DEFAULT_METRIC, METRICS, Sample
from qpi_live.models.analysis.cells import CELL_COLUMNS
from qpi_live.models.analysis.label_image import label_tiff
from qpi_live.models.analysis.outlines import outlines
from qpi_live.models.analysis.tables import TableError, csv_text, parquet_bytes, trackmate_xml
from qpi_live.service.api import measure_schemas as schemas
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.api.schemas import Account
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.measuring.focusing import find_focus
from qpi_live.service.measuring.measurer import Measured, cell_table, source_of
from qpi_live.service.measuring.region_table import region_history
from qpi_live.service.station import Station

router = APIRouter(tags=["measure"], responses=problems(422, 503))
_NEWEST_EVENTS = 50
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


def _file(kind: str) -> dict[int | str, dict[str, object]]:
    return {200: {"description": "the file", "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


def _newest(station: Station) -> LiveFrame:
    newest = station.hub.latest
    if newest is None:
        raise HTTPException(503, f"expected a frame, and none has come yet: {station.pipeline.state.sentence}")
    return newest


def _frame(station: Station, measured: Measured) -> schemas.Frame:
    return schemas.Frame(
        sequence=measured.sequence,
        captured_ns=measured.captured_ns,
        epoch=measured.epoch,
        camera=measured.source,
        level_rad=measured.level_rad,
        took_ms=measured.took_ms,
        missing=list(measured.scale.missing),
        account=Account.of(station.measurer.account),
    )


def _cells_now(station: Station) -> Measured:
    """The cells measured last, or those of the newest frame where they are not looked for all the time."""
    newest, latest = _newest(station), station.measurer.latest
    is_running = station.measurer.choices(source_of(newest)).finds_cells
    if is_running and latest is not None and latest.cells is not None and latest.epoch == newest.frame.epoch:
        return latest
    return station.measurer.measure(newest, finds_cells=True)


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
    with_outlines: Annotated[bool, Query(alias="outlines", description="whether to send their outlines")] = False,
) -> schemas.CellsAnswer:
    """Where cells are not looked for all the time, those of the newest frame, measured now."""
    measured = _cells_now(station)
    found = measured.cells
    if found is None:
        raise HTTPException(503, "expected measured cells, and the frame was just replaced; ask again")
    with station.measurer.steady:
        series = station.measurer.series
        table = cell_table(measured, series)
        events, now = list(series.tracker.events)[-_NEWEST_EVENTS:], monotonic()
    names = {**_TRACK_COLUMNS, **CELL_COLUMNS, **_GROWTH_COLUMNS}
    return schemas.CellsAnswer(
        frame=_frame(station, measured),
        count=len(found),
        confluence=found.confluence,
        noise_rad=found.segmentation.noise_rad,
        threshold_rad=found.segmentation.threshold_rad,
        columns={name: names[name] for name in table},
        cells=[dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)],
        outlines=[corners.tolist() for corners in outlines(found.segmentation)] if with_outlines else None,
        events=[
            schemas.CellEvent(kind=event.kind, id=event.id, others=list(event.others), seconds_ago=now - event.time_s)
            for event in events
        ],
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


@router.get(
    "/cells/table.csv", summary="The table of cells as CSV", response_class=Response, responses=_file("text/csv")
)
def cells_csv(station: AtStation) -> Response:
    """A row for each cell; names have their units. `pandas.read_csv` reads it from the address."""
    table = _identified(station, _cells_now(station))
    return Response(csv_text(table), media_type="text/csv", headers=_named("cells.csv"))


@router.get(
    "/cells/table.parquet",
    summary="The table of cells as Parquet",
    response_class=Response,
    responses={**_file("application/vnd.apache.parquet"), **problems(409)},
)
def cells_parquet(station: AtStation) -> Response:
    """As the CSV, where pyarrow is installed."""
    table = _identified(station, _cells_now(station))
    try:
        written = parquet_bytes(table)
    except TableError as error:
        raise HTTPException(409, str(error)) from error
    return Response(written, media_type="application/vnd.apache.parquet", headers=_named("cells.parquet"))


@router.get("/cells/labels.tiff", summary="Where the cells are", response_class=Response, responses=_file("image/tiff"))
def labels(station: AtStation) -> Response:
    """An OME-TIFF of the frame's size: each pixel has its cell's id, 0 where there is none."""
    measured = _cells_now(station)
    if measured.cells is None:
        raise HTTPException(503, "expected measured cells, and the frame was just replaced; ask again")
    written = label_tiff(measured.cells.segmentation.labels, measured.scale, measured.ids)
    return Response(written, media_type="image/tiff", headers=_named("cells.ome.tiff"))


@router.get(
    "/cells/tracks.xml",
    summary="Tracks for TrackMate",
    response_class=Response,
    responses=_file("application/xml"),
)
def tracks(station: AtStation) -> Response:
    """All cells through time, those that are gone too, as TrackMate in Fiji opens them."""
    measured = _cells_now(station)
    with station.measurer.steady:
        tracker = station.measurer.series.tracker
        followed, events = [*tracker.ended, *tracker.tracks], list(tracker.events)
        rate_hz = station.rates.captured_hz
        written = trackmate_xml(followed, events, measured.scale, 1 / rate_hz if rate_hz else 1.0)
    return Response(written, media_type="application/xml", headers=_named("tracks.xml"))


@router.get("/cells/{number}", summary="One cell through time", responses=problems(404))
def cell(
    station: AtStation, number: Annotated[int, Path(description="the cell's id, as in the table", ge=1)]
) -> schemas.CellHistory:
    """Its dry mass since it was first seen, in pg where the optics are known, and how fast it grows."""
    measured = _cells_now(station)
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
        mass_error=(rows[:, 6] * (to_pg or 1)).tolist(),
        unit="rad px" if to_pg is None else "pg",
        growth_per_h=grown.rate_per_s * 3600 if grown else None,
        growth_error_per_h=grown.rate_error_per_s * 3600 if grown else None,
        doubling_h=grown.doubling_s / 3600 if grown and grown.doubling_s else None,
    )


@router.get("/focus", summary="Where the newest frame is sharpest", responses=problems(409))
def focus(
    station: AtStation,
    metric: Annotated[str, Query(description=", ".join(METRICS))] = DEFAULT_METRIC,
    range_um: Annotated[float, Query(gt=0, le=1000, description="what to search, in µm around the focus")] = 30.0,
    region: Annotated[
        str | None, Query(max_length=80, description="name of the region to look at; null: all", examples=["nucleus"])
    ] = None,
    sample: Annotated[Sample, Query(description="whether the sample shows in phase or in amplitude")] = "phase",
) -> schemas.FocusAnswer:
    """What is found is the `focus_um` to show frames at."""
    newest = _newest(station)
    chosen = None
    if region is not None:
        drawn = station.measurer.choices(source_of(newest)).regions
        chosen = next((one for one in drawn if one.name == region), None)
        if chosen is None:
            raise HTTPException(422, f"expected a region among {', '.join(r.name for r in drawn)}, got {region!r}")
    if metric not in METRICS:
        raise HTTPException(422, f"expected a metric among {', '.join(METRICS)}, got {metric!r}")
    try:
        found, depth_um = find_focus(newest.phase, range_um, metric, sample, chosen)
    except ValueError as error:
        raise HTTPException(409, str(error)) from error
    return schemas.FocusAnswer(
        distance_um=found.distance_um,
        at_edge=found.at_edge,
        metric=metric,
        scanned_um=found.scanned_um.tolist(),
        sharpness=found.sharpness.tolist(),
        depth_of_field_um=depth_um,
    )


@router.get("/regions", summary="The regions, and what was measured in them last")
def regions(station: AtStation) -> schemas.RegionsAnswer:
    """Regions are kept for each camera."""
    camera = station.cameras.chosen
    drawn = [schemas.RegionModel.of(region) for region in station.measurer.choices(camera).regions]
    newest = station.hub.latest
    if newest is None or not drawn or source_of(newest) != camera:
        return schemas.RegionsAnswer(regions=drawn, frame=None, figures=[])
    measured = station.measurer.latest
    if measured is None or {one.name for one in measured.regions} != {r.name for r in drawn if r.role == "measure"}:
        measured = station.measurer.measure(newest)
    return schemas.RegionsAnswer(
        regions=drawn,
        frame=_frame(station, measured),
        figures=[
            schemas.RegionAnswer(
                name=one.name,
                figures=one.values,
                histogram=one.histogram.tolist(),
                edges_rad=(float(one.edges_rad[0]), float(one.edges_rad[-1])),
            )
            for one in measured.regions
        ],
    )


@router.put("/regions", summary="Draw regions")
def draw(station: AtStation, drawn: schemas.Regions) -> schemas.RegionsAnswer:
    """These take the place of all that there were, from the next frame on, and are kept for this camera."""
    camera = station.cameras.chosen
    before = station.measurer.choices(camera)
    try:
        chosen = replace(before, regions=tuple(region.region() for region in drawn.regions))
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    station.measurer.choose(camera, chosen)
    return regions(station)


@router.get(
    "/regions/table.csv",
    summary="The regions' figures over time",
    response_class=Response,
    responses=_file("text/csv"),
)
def regions_csv(station: AtStation) -> Response:
    """A row for each region and frame that was measured, ten minutes at 20 frames a second at most."""
    with station.measurer.steady:
        table = region_history(list(station.measurer.series.moments))
    return Response(csv_text(table), media_type="text/csv", headers=_named("regions.csv"))


def _identified(station: Station, measured: Measured) -> dict[str, list[object]]:
    """The table of cells with the frame that it is of."""
    with station.measurer.steady:
        table = cell_table(measured, station.measurer.series)
    count = len(measured.ids)
    return {"sequence": [measured.sequence] * count, "captured_ns": [measured.captured_ns] * count, **table}


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
