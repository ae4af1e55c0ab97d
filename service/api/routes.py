"""The REST interface: health, the newest frame, statistics, the engine."""

from __future__ import annotations

import re
from time import time_ns
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from qpi_live.models.analysis.refocus import WIDEST_UM
from qpi_live.service.api import schemas
from qpi_live.service.api.rendering import FRAME_ANSWER, MASKED, frame_answer
from qpi_live.service.line.rates import LOOP_STAGE
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations
from qpi_live.service.view import Layer, Masked, View
from qpi_live.service.viewing.image_formats import Format
from qpi_live.service.viewing.layers import LayerMissing, check_downscale, layers_of


async def _stations(request: Request) -> Stations:
    stations: Stations = request.app.state.stations
    return stations


AtStations = Annotated[Stations, Depends(_stations)]
CameraName = Annotated[
    str | None, Query(max_length=200, description="whose line is meant, where several cameras run; unset: the first's")
]


async def _station(stations: AtStations, camera: CameraName = None) -> Station:
    return stations.at(camera)


AtStation = Annotated[Station, Depends(_station)]
Downscale = Annotated[int, Query(ge=1, le=64, description="edge of the pixel blocks that are averaged into one")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors a route may answer with, for OpenAPI."""
    return {status: {"model": schemas.Problem} for status in (403, 404, *statuses)}


_FOLDERS = re.compile(r"(?<![\w/.\\])(?:[A-Za-z]:)?[\\/](?![\\/])(?:[^\\/'\",;:]*[\\/])*(?=[^\\/\s])")


def without_folders(sentence: str) -> str:
    """The sentence with files' names alone: where they lie is nothing for whoever asks without the token."""
    return _FOLDERS.sub("", sentence)


health = APIRouter(tags=["health"], responses=problems(422))
router = APIRouter(responses=problems(422))


@health.get("/health/live", summary="Whether the process answers")
async def live() -> schemas.Live:
    """Always 200 while the event loop runs."""
    return schemas.Live()


@health.get("/health/ready", summary="Whether frames can be expected", responses={503: {"model": schemas.Ready}})
async def ready(stations: AtStations, response: Response, camera: CameraName = None) -> schemas.Ready:
    """200 once the engine is warm and while the camera is there, else 503; of several cameras, of all or the one named.

    The sentence is the first line's that is not ready.
    """
    pipelines = [station.pipeline for station in (stations.all if camera is None else [stations.at(camera)])]
    pipeline = next((one for one in pipelines if not one.is_ready), pipelines[0])
    state, is_ready = pipeline.state, pipeline.is_ready
    response.status_code = 200 if is_ready else 503
    return schemas.Ready(ready=is_ready, state=state.name, sentence=without_folders(state.sentence))


@router.get("/cameras", summary="The cameras that run at once")
async def cameras(stations: AtStations) -> list[schemas.Line]:
    """By name, which the parameter `camera` of all other requests takes; the first is meant without it."""
    return [
        schemas.Line(
            name=name,
            source=station.cameras.identity.source,
            state=station.pipeline.state.name,
            sentence=station.pipeline.state.sentence,
        )
        for name, station in zip(stations.names, stations.all, strict=True)
    ]


@router.get(
    "/frames/latest",
    tags=["frames"],
    summary="The newest frame",
    response_class=Response,
    responses={**FRAME_ANSWER, **problems(409, 503)},
)
def latest(
    station: AtStation,
    layer: Annotated[
        Layer,
        Query(description=f"{Layer.explained()}; some only where `layers` of the statistics names them"),
    ] = Layer.PHASE,
    image_format: Annotated[
        Format, Query(alias="format", description="npy and tiff are exact; png is an 8-bit grey preview")
    ] = "npy",
    downscale: Downscale = 1,
    masked: Annotated[Masked, Query(description=MASKED)] = "kept",
    focus_um: Annotated[
        float,
        Query(ge=-WIDEST_UM, le=WIDEST_UM, description="by how much the focal plane is moved along the light, in µm"),
    ] = 0.0,
) -> Response:
    """The array as a file; what is known of the frame stands in the header `QPI-Frame`, as `FrameHeader` in JSON."""
    newest = station.hub.latest
    if newest is None:
        raise HTTPException(503, f"expected a frame, and none has come yet: {station.pipeline.state.sentence}")
    try:
        check_downscale(downscale, newest.frame.shape)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    view = View(layer, "uint8" if image_format == "png" else "float32", downscale, masked=masked, focus_um=focus_um)
    try:
        return newest.once(
            ("file", view, image_format, station.others.version(layer)),
            lambda: frame_answer(newest, view, image_format, station.others),
        )
    except LayerMissing as missing:
        raise HTTPException(409, str(missing)) from missing


@router.get("/stats", tags=["stream"], summary="Everything about the stream at this moment")
def stats(station: AtStation) -> schemas.Stats:
    """Rates, latencies, the frame account by reason, the audience, who the camera and the engine are."""
    pipeline = station.pipeline
    stages = {name: schemas.StagePercentiles.of(took) for name, took in station.latencies.percentiles().items()}
    event_loop = stages.pop(LOOP_STAGE, None)
    state, newest = pipeline.state, station.hub.latest
    ended, departed = station.audience.departed()
    return schemas.Stats(
        state=schemas.StateAnswer.model_validate(state),
        ready=pipeline.is_ready,
        epoch=pipeline.epoch,
        reconnects=pipeline.reconnects,
        uptime_s=station.uptime_s,
        now_ns=time_ns(),
        fps=schemas.Rate(captured=station.rates.captured_hz, delivered=station.rates.delivered_hz),
        latency_ms=stages,
        event_loop_ms=event_loop,
        account=schemas.Account.of(pipeline.account.snapshot()),
        uploads=schemas.Uploads.model_validate(station.uploads) if station.uploads else None,
        subscribers=_subscribers(station),
        departed=schemas.Departed(connections=ended, account=schemas.Account.of(departed)),
        engine=schemas.Engine.of(pipeline.engine.identity),
        camera=schemas.Camera.of(station.cameras.identity),
        baseline=_baseline(station),
        last_failure=pipeline.failed_frames.last,
        quality=schemas.Quality.of(newest.phase.quality) if newest else None,
        layers=list(layers_of(newest, station.baseline, station.averager)) if newest else [],
    )


def _subscribers(station: Station) -> list[schemas.Subscriber]:
    return [
        schemas.Subscriber(
            name=listener.name,
            layer=listener.choice.layer,
            beside=listener.choice.beside,
            dtype=listener.choice.dtype,
            max_fps=listener.choice.max_fps,
            downscale=listener.choice.downscale,
            account=schemas.Account.of(listener.mailbox.account.snapshot()),
        )
        for listener in station.audience.present()
    ]


def _baseline(station: Station) -> schemas.Baseline | None:
    baseline = station.baseline
    if baseline is None:
        return None
    agreement = baseline.agreement
    return schemas.Baseline(
        engine=baseline.engine.identity.name,
        fraction=baseline.fraction,
        frames=agreement.frames,
        rms_rad=agreement.rms_rad,
        psnr_db=agreement.psnr_db,
        latency_ms=agreement.latency_ms,
        engine_error_rad=agreement.engine_error_rad,
        baseline_error_rad=agreement.baseline_error_rad,
        drift=schemas.Drift.model_validate(baseline.drift) if baseline.drift else None,
        account=schemas.Account.of(baseline.account),
        last_failure=baseline.last_failure,
    )


@router.get("/engine", tags=["engine"], summary="The engine, those it can be switched to, and what can be tuned")
def engine(station: AtStation) -> schemas.EngineAnswer:
    """Who the engine is and why, which others there are and whether they suit the stream, the adjustments in force."""
    return engine_answer(station)


@router.put("/engine", tags=["engine"], summary="Switch to another engine")
def use_engine(station: AtStation, new: schemas.NewEngine) -> schemas.EngineAnswer:
    """It is opened and warmed up beside the stream, and makes the phase from the next frame on; no frame is lost.

    The answer comes when it is warm. What cannot be opened, or does not take these frames, changes nothing.
    """
    station.engines.choose(new.engine)
    return engine_answer(station)


@router.post("/engine/carrier", tags=["engine"], summary="Find the carrier again", responses=problems(409, 503))
def refind_carrier(station: AtStation) -> schemas.EngineAnswer:
    """The carrier is found again on the next frame."""
    return engine_answer(station, station.tuning.refind_carrier())


@router.put("/engine/sideband", tags=["engine"], summary="Choose the sideband", responses=problems(409, 503))
def use_sideband(station: AtStation, sideband: schemas.NewSideband) -> schemas.EngineAnswer:
    """The phase's sign flips between upper and lower; the choice is remembered for this camera.

    Where `auto` takes another engine for it, `note` says so.
    """
    return engine_answer(station, station.tuning.use_sideband(sideband.sideband))


@router.delete(
    "/engine/calibration", tags=["engine"], summary="Go on without a calibration frame", responses=problems(409, 503)
)
def drop_calibration(station: AtStation) -> schemas.EngineAnswer:
    """The background is fitted in each frame again."""
    return engine_answer(station, station.tuning.use_calibration(None))


@router.post(
    "/engine/calibration/undo",
    tags=["engine"],
    summary="Undo the last change of calibration",
    responses=problems(409, 503),
)
def undo_calibration(station: AtStation) -> schemas.EngineAnswer:
    """The calibration frame, or none, that was in force before the last change is in force again."""
    return engine_answer(station, station.tuning.undo_calibration())


def engine_answer(station: Station, note: str | None = None) -> schemas.EngineAnswer:
    """The engines and the adjustments in force; `note` says what else a request changed."""
    tuned, newest = station.tuning.now, station.hub.latest
    engine = station.engine.identity
    if newest is not None and newest.phase.engine.name != engine.name:
        newest = None  # made by the engine before
    doubt = newest.phase.quality.warning if newest else None
    return schemas.EngineAnswer(
        engine=schemas.Engine.of(engine),
        chosen=station.engines.chosen,
        trusted=doubt is None if newest else None,
        doubt=doubt,
        engines=[schemas.EngineOffer.model_validate(offer) for offer in station.engines.offers(station.hub.latest)],
        note=note or station.promoted.refusal,
        tunable=station.tuning.is_possible,
        sideband=tuned.sideband,
        calibration_ns=tuned.calibration_ns,
    )
