"""The REST interface for interferograms that are sent: their phase, two engines compared, a calibration frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field
from qpi_live.camera.optics import Optics, StatedOptics
from qpi_live.models.sideband import Sideband
from qpi_live.service.api import schemas
from qpi_live.service.api.parameters import only_known_parameters
from qpi_live.service.api.rendering import FRAME_ANSWER, MASKED, file_answer
from qpi_live.service.api.routes import AtStation, engine_answer, problems
from qpi_live.service.api.sent_form import FORM_PARTS, is_form, read_form
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.sent.task import AskedEngine, SentImage, Task
from qpi_live.service.settings import parse_carrier
from qpi_live.service.station import Station
from qpi_live.service.view import Layer, Masked, View
from qpi_live.service.viewing.image_formats import Format
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

Answer = TypeVar("Answer")

CLIENT_GONE = 499  # nginx's number for a client that hung up; nobody reads the answer
TAKE_FILES = ("/phase", "/compare", "/engine/calibration")
"""Where a body is a file; everywhere else it is small JSON."""
_LONGEST_UPLOAD_S = 60
_INTERFEROGRAM: dict[str, Any] = {
    "requestBody": {
        "description": "one interferogram as `.npy`, TIFF, PNG, JPEG or BMP, told apart by content; with curl: "
        "`--data-binary @hologram.tif`",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_OPTIONAL_INTERFEROGRAM: dict[str, Any] = {"requestBody": _INTERFEROGRAM["requestBody"] | {"required": False}}
_INTERFEROGRAM_OR_FORM: dict[str, Any] = {
    "requestBody": _INTERFEROGRAM["requestBody"]
    | {
        "description": _INTERFEROGRAM["requestBody"]["description"] + "; or a form of files: `-F frame=@hologram.tif "
        "-F mask=@mask.png -F calibration=@empty.tif`",
        "content": _INTERFEROGRAM["requestBody"]["content"]
        | {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["frame"],
                    "additionalProperties": False,
                    "properties": {
                        name: {"type": "string", "format": "binary", "description": what}
                        for name, what in FORM_PARTS.items()
                    },
                }
            }
        },
    }
}

BitDepth = Annotated[
    int | None, Query(ge=1, le=16, description="significant bits of a grey value; unset: the least that hold them")
]


class SentParameters(BaseModel):
    """How an interferogram that is sent is to be inverted, and in which format its phase comes back."""

    engine: str | None = Field(default=None, max_length=100, description="unset: the live engine")
    image_format: Format = Field(
        default="npy", alias="format", description="npy and tiff are exact; png is an 8-bit grey preview"
    )
    masked: Masked = Field(default="kept", description=MASKED)
    bit_depth: int | None = Field(
        default=None, ge=1, le=16, description="significant bits of a grey value; unset: the least that hold them"
    )
    wavelength_nm: float | None = Field(default=None, gt=0, description="vacuum wavelength, if known")
    pixel_um: float | None = Field(default=None, gt=0, description="sensor's pixel pitch, if known")
    magnification: float | None = Field(default=None, gt=0, description="from sample to sensor; unset: 1")
    na: float | None = Field(default=None, gt=0, le=1.7, description="objective's numerical aperture, if known")
    sideband: Sideband = Field(
        default=Sideband.AUTO,
        description="auto, upper or lower; the phase's sign flips between the two",
        examples=["upper"],
    )
    carrier: str | None = Field(
        default=None,
        max_length=100,
        description="FY,FX of the carrier in cycles per pixel; unset: found in the interferogram",
        examples=["0.21,-0.18"],
    )
    background_order: int | None = Field(
        default=None,
        ge=0,
        le=6,
        description="highest order of the background taken off; unset: the service's",
        examples=[2],
    )
    calibration: Literal["current"] | None = Field(
        default=None, description="current: divide the live stream's calibration frame out", examples=["current"]
    )

    @property
    def carrier_cycles_per_px(self) -> tuple[float, float] | None:
        """(fy, fx) of the carrier that was given, or None.

        Raises:
            ValueError: it is none.
        """
        return None if self.carrier is None else parse_carrier(self.carrier)

    @property
    def optics(self) -> Optics | None:
        """The optics that were given; None where none were.

        Raises:
            ValueError: they cannot be.
        """
        return StatedOptics(self.wavelength_nm, self.pixel_um, self.magnification, self.na).over(None)


async def _slot(station: AtStation) -> AsyncIterator[None]:
    async with station.on_demand.slot():
        yield


router = APIRouter(
    responses=problems(408, 413, 415, 422, 503), dependencies=[Depends(only_known_parameters), Depends(_slot)]
)


@router.post(
    "/phase",
    tags=["frames"],
    summary="The phase of an interferogram that is sent",
    response_class=Response,
    responses=FRAME_ANSWER,
    openapi_extra=_INTERFEROGRAM_OR_FORM,
)
async def phase(station: AtStation, request: Request, sent: Annotated[SentParameters, Query()]) -> Response:
    """The unwrapped phase in rad as a file, with the same header `QPI-Frame` as a live frame.

    Unless one is given, the carrier is found in the interferogram itself. The live stream's carrier is not used; its
    calibration frame is only where `calibration=current` asks for it. What was used stands in `engine.detail` of the
    header.

    A form takes a mask and a calibration frame as files beside the interferogram. Pixels to leave out, and those that
    are NaN or infinite in either file, take part in nothing and are in the mask.
    """
    if is_form(request):
        files = await _in_time(read_form(request))
    else:
        files = {"frame": await _body(request)}
    if not files["frame"]:
        raise HTTPException(422, "expected an interferogram as the body (.npy, TIFF or PNG), got an empty one")
    try:
        task = _asked_for(station, SentImage(files["frame"], sent.bit_depth, files.get("mask")), sent)
        if "calibration" in files:
            if sent.calibration:
                raise ValueError("expected one calibration frame, got calibration=current and a file; leave one out")
            task = replace(task, calibration=SentImage(files["calibration"], sent.bit_depth))
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    view = View(Layer.PHASE, "uint8" if sent.image_format == "png" else "float32", masked=sent.masked)
    work = station.on_demand.retrieve(_asked(station, sent.engine), task, view, sent.image_format)
    return file_answer(await _while_connected(request, work))


@router.post(
    "/compare",
    tags=["engine"],
    summary="Two engines on one frame",
    openapi_extra=_OPTIONAL_INTERFEROGRAM,
)
async def compare(
    station: AtStation,
    request: Request,
    a: Annotated[str, Query(max_length=100, description="an engine's name", examples=["goldstein"])],
    b: Annotated[str, Query(max_length=100, description="the engine it is compared with", examples=["nasprnet"])],
    bit_depth: BitDepth = None,
) -> schemas.Comparison:
    """RMS difference, PSNR and SSIM of what two engines make of the interferogram sent, or of the newest live frame.

    Each engine runs on the frame twice and the second time counts, as in a stream that has its carrier.
    """
    body = await _body(request)
    task = _sent(station, SentImage(body, bit_depth), None) if body else _newest(station)
    agreement = await _while_connected(request, station.on_demand.compare(AskedEngine(a), AskedEngine(b), task))
    return schemas.Comparison(
        a=a,
        b=b,
        rms_rad=agreement.rms_rad,
        psnr_db=agreement.psnr_db,
        ssim=agreement.ssim,
        latency_ms={"a": agreement.a_ms, "b": agreement.b_ms},
        shape=agreement.shape,
    )


@router.put(
    "/engine/calibration",
    tags=["engine"],
    summary="Divide a sample-free interferogram out of every frame",
    responses=problems(409),
    openapi_extra=_OPTIONAL_INTERFEROGRAM,
)
async def use_calibration(
    station: AtStation,
    request: Request,
    bit_depth: BitDepth = None,
    force: Annotated[bool, Query(description="take it even if there are objects in it")] = False,
) -> schemas.EngineAnswer:
    """The interferogram sent, or the newest live frame, is divided out from now on, unless there are objects in it.

    It holds for this window of the sensor, and rests while the camera shows another one.

    Where `auto` takes another engine for it, `note` says so.
    """
    body = await _body(request)
    if body:
        frame = await _while_connected(request, station.on_demand.decode(SentImage(body, bit_depth)))
    else:
        frame = _newest_frame(station).frame
    if frame.shape != station.camera_shape:
        raise HTTPException(
            422, f"expected a calibration frame of the stream's shape {station.camera_shape}, got {frame.shape}"
        )
    try:
        note = await run_in_threadpool(partial(station.tuning.use_calibration, frame, force=force))
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return await run_in_threadpool(engine_answer, station, note)


async def _body(request: Request) -> bytes:
    if is_form(request):
        raise HTTPException(
            415,
            "expected the file itself as the body, got a form (curl -F); send it with: "
            f"curl {'-X PUT ' if request.method == 'PUT' else ''}--data-binary @hologram.tif '{request.url}'",
        )
    return await _in_time(request.body())


async def _in_time(reading: Coroutine[Any, Any, Answer]) -> Answer:
    try:
        async with asyncio.timeout(_LONGEST_UPLOAD_S):
            return await reading
    except TimeoutError:
        raise HTTPException(408, f"expected the whole body within {_LONGEST_UPLOAD_S} s, got a part of it") from None


async def _while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What `work` gives; it is cancelled when whoever asked for it hangs up.

    Raises:
        ClientDisconnect: nobody waits for the answer any more.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _asked(station: Station, engine: str | None) -> AskedEngine:
    """The engine that was asked for by name, or the service's own, which may be a network's file."""
    return AskedEngine(engine) if engine else AskedEngine(station.settings.engine, may_be_file=True)


def _asked_for(station: Station, image: SentImage, sent: SentParameters) -> Task:
    """The task with all that was asked for.

    Raises:
        ValueError: it cannot be.
    """
    task = _sent(station, image, sent.optics)
    options = replace(task.options, sideband=sent.sideband, carrier_cycles_per_px=sent.carrier_cycles_per_px)
    if sent.background_order is not None:
        options = replace(options, background_order=sent.background_order)
    calibration = station.tuning.calibration if sent.calibration else None
    if sent.calibration and calibration is None:
        raise ValueError("expected a calibration frame of the live stream, got none; PUT /api/v1/engine/calibration")
    return replace(task, options=options, calibration=calibration)


def _sent(station: Station, image: SentImage, optics: Optics | None) -> Task:
    options = station.settings.engine_options(optics, Sideband.AUTO)
    return Task(image, replace(options, carrier_cycles_per_px=None))


def _newest(station: Station) -> Task:
    newest, tuning = _newest_frame(station), station.tuning
    options = station.settings.engine_options(newest.frame.optics, tuning.now.sideband)
    return Task(newest.frame, options, newest.camera, tuning.calibration)


def _newest_frame(station: Station) -> LiveFrame:
    newest = station.hub.latest
    if newest is None:
        raise HTTPException(503, f"expected a live frame, and none has come yet: {station.pipeline.state.sentence}")
    return newest
