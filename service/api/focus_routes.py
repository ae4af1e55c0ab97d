"""Where the newest frame is sharpest, over REST: one search at a time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from qpi_live.models.analysis.autofocus import METRICS, Sample
from qpi_live.service.api import measure_schemas as schemas
from qpi_live.service.api.measure_routes import newest_of
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.measuring.focusing import find_focus
from qpi_live.service.measuring.measurer import source_of

router = APIRouter(tags=["measure"], responses=problems(422, 503))


@router.get("/focus", summary="Where the newest frame is sharpest", responses=problems(409))
async def focus(
    station: AtStation,
    metric: Annotated[
        str | None,
        Query(
            description="by what sharpness is told; left out: variance, or edge sparsity where light is saturated",
            json_schema_extra={"enum": list(METRICS)},
            examples=["variance"],
        ),
    ] = None,
    range_um: Annotated[float, Query(gt=0, le=1000, description="what to search, in µm around the focus")] = 30.0,
    region: Annotated[
        str | None,
        Query(max_length=80, description="name of a drawn region; left out: all", examples=["cell"]),
    ] = None,
    sample: Annotated[Sample, Query(description="whether the sample shows in phase or in amplitude")] = "phase",
) -> schemas.FocusAnswer:
    """What is found is the `focus_um` to show frames at. One search runs at a time; 503 while others wait."""
    newest = newest_of(station)
    chosen = None
    if region is not None:
        drawn = station.measurer.choices(source_of(newest)).regions_on(newest.frame)
        chosen = next((one for one in drawn if one.name == region), None)
        if chosen is None:
            names = ", ".join(one.name for one in drawn)
            expected = f"a region among {names}" if names else "no region, as none is drawn on these frames"
            raise HTTPException(422, f"expected {expected}, got {region!r}")
    if metric is not None and metric not in METRICS:
        raise HTTPException(422, f"expected a metric among {', '.join(METRICS)}, got {metric!r}")
    try:
        found = await station.focus_requests.run(lambda: find_focus(newest.phase, range_um, metric, sample, chosen))
    except ValueError as error:
        raise HTTPException(409, str(error)) from error
    return schemas.FocusAnswer(
        distance_um=found.focus.distance_um,
        at_edge=found.focus.at_edge,
        metric=found.metric,
        scanned_um=found.focus.scanned_um.tolist(),
        sharpness=found.focus.sharpness.tolist(),
        depth_of_field_um=found.depth_um,
        remark=found.remark,
    )
