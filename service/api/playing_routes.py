"""Recordings looked at again over REST: a picture of each, and its frames one by one, through any engine."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from qpi_live.service.api.recording_routes import Recording
from qpi_live.service.api.rendering import HEADER
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.recording.player import Played
from qpi_live.service.sent.task import AskedEngine, Task
from qpi_live.service.view import Layer, View
from qpi_live.service.viewing.frame_file import FrameFile
from qpi_live.service.viewing.image_formats import header_text
from qpi_live.service.wire import EngineField, FrameHeader, pack
from starlette.concurrency import run_in_threadpool

Index = Annotated[int, Path(ge=0, le=10**9, description="the frame's number in the recording, from 0")]
PlayedLayer = Literal["interferogram", "phase", "amplitude", "mask"]
PlayedFormat = Literal["npy", "qpif"]
_MEDIA = {"npy": "application/x-npy", "qpif": "application/octet-stream"}

router = APIRouter(prefix="/recordings", tags=["recordings"], responses=problems(404, 409, 422, 503))


@router.get(
    "/{recording}/thumbnail",
    summary="A picture of a recording",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
def thumbnail(station: AtStation, recording: Recording) -> Response:
    """A small grey PNG of its middle frame."""
    return Response(station.player.thumbnail(recording), media_type="image/png")


@router.get(
    "/{recording}/frames/{index}",
    summary="A frame of a recording",
    response_class=Response,
    responses={
        200: {"content": {media: {"schema": {"type": "string", "format": "binary"}} for media in _MEDIA.values()}}
    },
)
async def frame(
    station: AtStation,
    recording: Recording,
    index: Index,
    layer: Annotated[PlayedLayer, Query(description="what is shown of it")] = "phase",
    engine: Annotated[str | None, Query(max_length=100, description="unset: the live engine")] = None,
    image_format: Annotated[
        PlayedFormat, Query(alias="format", description="npy; or qpif, a message as the stream sends them")
    ] = "npy",
    downscale: Annotated[int, Query(ge=1, le=64, description="edge of the blocks that are averaged into one")] = 1,
) -> Response:
    """As it was recorded, or what an engine makes of it, beside the live line."""
    played = await run_in_threadpool(station.player.frame, recording, index)
    if layer == "interferogram":
        return await run_in_threadpool(lambda: _answer(*_recorded(played, downscale), image_format))
    view = View(Layer(layer), "float32", downscale)
    asked = AskedEngine(engine or station.settings.engine, may_be_file=engine is None)
    options = station.settings.engine_options(played.camera.optics, station.tuning.now.sideband)
    if played.carrier_cycles_per_px is not None:
        options = replace(options, carrier_cycles_per_px=played.carrier_cycles_per_px)
    task = Task(played.frame, options, played.camera, played.calibration, is_offered=True)
    async with station.on_demand.slot():
        file = await station.on_demand.retrieve(asked, task, view, "npy")
    return await run_in_threadpool(lambda: _answer(*_read(file), image_format))


def _read(file: FrameFile) -> tuple[FrameHeader, np.ndarray]:
    """What is in a file that an engine's work came as."""
    return FrameHeader.model_validate_json(file.header), np.load(BytesIO(file.body), allow_pickle=False)


def _answer(header: FrameHeader, values: np.ndarray, image_format: PlayedFormat) -> Response:
    """Values in the format that was asked for."""
    if image_format == "qpif":
        return Response(bytes(pack(lambda: header, values)), media_type=_MEDIA["qpif"])
    body = BytesIO()
    np.save(body, values, allow_pickle=False)
    return Response(body.getvalue(), media_type=_MEDIA["npy"], headers={HEADER: header_text(header)})


def _recorded(played: Played, downscale: int) -> tuple[FrameHeader, np.ndarray]:
    """The grey values as they were recorded, with what is known of them."""
    frame, optics = played.frame, played.frame.optics
    values: np.ndarray = frame.pixels
    height, width = (length // downscale for length in frame.shape)
    if downscale > 1 and min(height, width) > 0:
        blocks = values[: height * downscale, : width * downscale].reshape(height, downscale, width, downscale)
        values = np.rint(blocks.mean((1, 3))).astype(values.dtype)
    pixel_m = optics.object_pixel_m if optics else None
    header = FrameHeader(
        sequence=frame.sequence,
        captured_ns=frame.captured_ns,
        device_id=frame.device_id,
        device_timestamp_ns=frame.device_timestamp_ns,
        camera=played.camera.source,
        camera_settings=dict(frame.settings or {}),
        layer="interferogram",
        shape=(values.shape[0], values.shape[1]),
        dtype=values.dtype.name,
        unit="grey value",
        downscale=downscale,
        bit_depth=frame.bit_depth,
        wavelength_m=optics.wavelength_m if optics else None,
        object_pixel_m=pixel_m * downscale if pixel_m else None,
        engine=EngineField(name="none", kind="recording", device="cpu", version="1"),
        stages_ms={},
    )
    return header, values
