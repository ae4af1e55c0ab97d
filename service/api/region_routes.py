"""Regions over REST: what was drawn, what was measured in them now and over time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi import APIRouter, HTTPException, Response
from qpi_live.models.analysis.tables import csv_text
from qpi_live.service.api import measure_schemas as schemas
from qpi_live.service.api.measure_routes import file_answer, frame_answer, named, soon
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.measuring.choices import window_of
from qpi_live.service.measuring.measurer import source_of

router = APIRouter(tags=["measure"], responses=problems(422, 503))


@router.get("/regions", summary="The regions, and what was measured in them last")
async def regions(station: AtStation) -> schemas.RegionsAnswer:
    """Regions are kept for each camera. They rest where frames show another part of the sensor than when drawn."""
    camera = station.cameras.chosen
    choices = station.measurer.choices(camera)
    drawn = [schemas.RegionModel.of(region) for region in choices.regions]
    newest, measured = station.hub.latest, station.measurer.latest
    if newest is None or not drawn or source_of(newest) != camera:
        return schemas.RegionsAnswer(regions=drawn, frame=None, figures=[])
    if measured is None or measured.choices != choices or measured.epoch != newest.frame.epoch:
        measured = await soon(station, lambda: station.measurer.measure(newest))
    if measured is None:
        return schemas.RegionsAnswer(regions=drawn, frame=None, figures=[])
    return schemas.RegionsAnswer(
        regions=drawn,
        frame=frame_answer(station, measured),
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
async def draw(station: AtStation, drawn: schemas.Regions) -> schemas.RegionsAnswer:
    """These take the place of all that there were, from the next frame on, and are kept for this camera."""
    camera, newest = station.cameras.chosen, station.hub.latest
    before = station.measurer.choices(camera)
    drawn_on = window_of(newest.frame) if newest is not None and source_of(newest) == camera else ""
    try:
        chosen = replace(before, regions=tuple(region.region() for region in drawn.regions), drawn_on=drawn_on)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    await asyncio.to_thread(station.measurer.choose, camera, chosen)
    return await regions(station)


@router.get(
    "/regions/table.csv",
    summary="The regions' figures over time",
    response_class=Response,
    responses=file_answer("text/csv"),
)
def regions_csv(station: AtStation) -> Response:
    """A row for each region and frame that was measured, ten minutes at 20 frames a second at most."""
    with station.measurer.steady:
        table = station.measurer.series.moments.table()
    return Response(csv_text(table), media_type="text/csv", headers=named("regions.csv"))
