"""Cells as files over REST: tables, tracks, and images of where they are."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response
from qpi_live.models.analysis.label_image import label_tiff, label_zarr
from qpi_live.models.analysis.tables import TableError, csv_text, parquet_bytes, trackmate_xml
from qpi_live.service.api.measure_routes import AT_WORK, CellsForFile, file_answer, named
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.measuring.measurer import Measured, cell_table
from qpi_live.service.station import Station

router = APIRouter(tags=["measure"], responses=problems(422, 503))


@router.get(
    "/cells/table.csv", summary="The table of cells as CSV", response_class=Response, responses=file_answer("text/csv")
)
def cells_csv(station: AtStation, measured: CellsForFile) -> Response:
    """A row for each cell; names have their units. `pandas.read_csv` reads it from the address."""
    table = _identified(station, measured)
    return Response(csv_text(table), media_type="text/csv", headers=named("cells.csv"))


@router.get(
    "/cells/table.parquet",
    summary="The table of cells as Parquet",
    response_class=Response,
    responses={**file_answer("application/vnd.apache.parquet"), **problems(409)},
)
def cells_parquet(station: AtStation, measured: CellsForFile) -> Response:
    """As the CSV, where pyarrow is installed."""
    table = _identified(station, measured)
    try:
        written = parquet_bytes(table)
    except TableError as error:
        raise HTTPException(409, str(error)) from error
    return Response(written, media_type="application/vnd.apache.parquet", headers=named("cells.parquet"))


@router.get(
    "/cells/labels.tiff", summary="Where the cells are", response_class=Response, responses=file_answer("image/tiff")
)
def labels(measured: CellsForFile) -> Response:
    """An OME-TIFF of the frame's size: each pixel has its cell's id, 0 where there is none."""
    if measured.cells is None:
        raise HTTPException(503, AT_WORK)
    written = label_tiff(measured.cells.segmentation.labels, measured.scale, measured.ids)
    return Response(written, media_type="image/tiff", headers=named("cells.ome.tiff"))


@router.get(
    "/cells/labels.zarr.zip",
    summary="Where the cells are, as OME-Zarr",
    response_class=Response,
    responses={**file_answer("application/zip"), **problems(409)},
)
def labels_zarr(measured: CellsForFile) -> Response:
    """An OME-Zarr 0.5 (1, y, x) in a ZIP file, where zarr is installed; values as in `labels.tiff`."""
    if measured.cells is None:
        raise HTTPException(503, AT_WORK)
    try:
        written = label_zarr(measured.cells.segmentation.labels, measured.scale, measured.ids)
    except ModuleNotFoundError as missing:
        raise HTTPException(
            409, f"expected {missing.name} for OME-Zarr; on the service's machine: pip install 'qpi-live[files]'"
        ) from missing
    return Response(written, media_type="application/zip", headers=named("cells.ome.zarr.zip"))


@router.get(
    "/cells/tracks.xml",
    summary="Tracks for TrackMate",
    response_class=Response,
    responses=file_answer("application/xml"),
)
def tracks(station: AtStation, measured: CellsForFile) -> Response:
    """All cells through time, those that are gone too, as TrackMate in Fiji opens them."""
    with station.measurer.steady:
        tracker = station.measurer.series.tracker
        followed, events = [*tracker.ended, *tracker.tracks], list(tracker.events)
        written = trackmate_xml(followed, events, measured.scale)
    return Response(written, media_type="application/xml", headers=named("tracks.xml"))


def _identified(station: Station, measured: Measured) -> dict[str, list[object]]:
    """The table of cells with the frame that it is of."""
    with station.measurer.steady:
        table = cell_table(measured, station.measurer.series)
    count = len(measured.ids)
    return {"sequence": [measured.sequence] * count, "captured_ns": [measured.captured_ns] * count, **table}
