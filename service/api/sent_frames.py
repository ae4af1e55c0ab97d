"""The REST interface for interferograms that are sent: their phase, two engines compared, a calibration frame."""

from __future__ import annotations

from asyncio import timeout
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic_ns, time_ns
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from qpi_live.camera.files.image_file import decode_image
from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.sideband import Sideband
from qpi_live.service.api import schemas
from qpi_live.service.api.image_formats import Format
from qpi_live.service.api.rendering import FRAME_ANSWER, frame_answer
from qpi_live.service.api.routes import AtStation, engine_answer, problems
from qpi_live.service.line.on_demand import Task
from qpi_live.service.station import Station
from qpi_live.service.view import Layer, View
from starlette.concurrency import run_in_threadpool

_LARGEST_PX = 1 << 25
_LONGEST_UPLOAD_S = 60
_INTERFEROGRAM: dict[str, Any] = {
    "requestBody": {
        "description": "one interferogram as `.npy`, TIFF, PNG, JPEG or BMP, told apart by content",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_OPTIONAL_INTERFEROGRAM: dict[str, Any] = {"requestBody": _INTERFEROGRAM["requestBody"] | {"required": False}}

BitDepth = Annotated[
    int | None, Query(ge=1, le=16, description="significant bits of a grey value; unset: the least that hold them")
]
EngineName = Annotated[str | None, Query(max_length=100, description="unset: the live engine")]


async def _place(station: AtStation) -> AsyncIterator[None]:
    async with station.on_demand.place():
        yield


router = APIRouter(responses=problems(408, 413, 422, 503), dependencies=[Depends(_place)])


@router.post(
    "/phase",
    tags=["frames"],
    summary="The phase of an interferogram that is sent",
    response_class=Response,
    responses=FRAME_ANSWER,
    openapi_extra=_INTERFEROGRAM,
)
async def phase(
    station: AtStation,
    request: Request,
    engine: EngineName = None,
    image_format: Annotated[
        Format, Query(alias="format", description="npy and tiff are exact; png is an 8-bit grey preview")
    ] = "npy",
    bit_depth: BitDepth = None,
    wavelength_nm: Annotated[float | None, Query(gt=0, description="vacuum wavelength, if known")] = None,
    pixel_um: Annotated[float | None, Query(gt=0, description="sensor's pixel pitch, if known")] = None,
    magnification: Annotated[float, Query(gt=0, description="from sample to sensor")] = 1.0,
    na: Annotated[float | None, Query(gt=0, le=1.7, description="objective's numerical aperture, if known")] = None,
) -> Response:
    """The unwrapped phase in rad as a file, with the same header `QPI-Frame` as a live frame.

    The carrier is found in the interferogram itself; the live stream's carrier and calibration frame are not used.
    """
    frame = await _frame(await _body(request), bit_depth)
    task = _sent(station, frame, _optics(wavelength_nm, pixel_um, magnification, na))
    live = await station.on_demand.retrieve(engine or station.settings.engine, task)
    view = View(Layer.PHASE, "uint8" if image_format == "png" else "float32")
    return await run_in_threadpool(frame_answer, live, view, image_format)


@router.post(
    "/compare",
    tags=["engine"],
    summary="Two engines on one frame",
    openapi_extra=_OPTIONAL_INTERFEROGRAM,
)
async def compare(
    station: AtStation,
    request: Request,
    a: Annotated[str, Query(max_length=100, description="an engine's name")],
    b: Annotated[str, Query(max_length=100, description="the engine it is compared with")],
    bit_depth: BitDepth = None,
) -> schemas.Comparison:
    """RMS difference, PSNR and SSIM of what two engines make of the interferogram sent, or of the newest live frame.

    Each engine runs on the frame twice and the second time counts, as in a stream that has its carrier.
    """
    body = await _body(request)
    task = _sent(station, await _frame(body, bit_depth), None) if body else _newest(station)
    agreement = await station.on_demand.compare(a, b, task)
    return schemas.Comparison(
        a=a,
        b=b,
        rms_rad=agreement.rms_rad,
        psnr_db=agreement.psnr_db,
        ssim=agreement.ssim,
        latency_ms={"a": agreement.a_ms, "b": agreement.b_ms},
        shape=task.frame.shape,
    )


@router.put(
    "/engine/calibration",
    tags=["engine"],
    summary="Divide a sample-free interferogram out of every frame",
    responses=problems(409),
    openapi_extra=_OPTIONAL_INTERFEROGRAM,
)
async def use_calibration(station: AtStation, request: Request, bit_depth: BitDepth = None) -> schemas.EngineAnswer:
    """The interferogram sent, or the newest live frame, is divided out from now on.

    Where `auto` takes another engine for it, `note` says so.
    """
    body = await _body(request)
    frame = await _frame(body, bit_depth) if body else _newest(station).frame
    if frame.shape != station.camera_shape:
        raise HTTPException(
            422, f"expected a calibration frame of the stream's shape {station.camera_shape}, got {frame.shape}"
        )
    try:
        note = await run_in_threadpool(station.tuning.use_calibration, frame)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return await run_in_threadpool(engine_answer, station, note)


async def _body(request: Request) -> bytes:
    try:
        async with timeout(_LONGEST_UPLOAD_S):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, f"expected the whole body within {_LONGEST_UPLOAD_S} s, got a part of it") from None


async def _frame(body: bytes, bit_depth: int | None) -> Frame:
    """The interferogram in a request's body; 422 with a sentence where there is none."""
    if not body:
        raise HTTPException(422, "expected an interferogram as the body (.npy, TIFF or PNG), got an empty one")
    try:
        return await run_in_threadpool(frame_from_bytes, body, bit_depth)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def frame_from_bytes(data: bytes, bit_depth: int | None) -> Frame:
    """The interferogram in a file's bytes, as a frame that was captured now.

    Raises:
        ValueError: no interferogram, or grey values that need more bits than `bit_depth`.
    """
    image = decode_image(data, _LARGEST_PX)
    highest = int(image.pixels.max())
    if bit_depth is not None and highest >= 2**bit_depth:
        raise ValueError(f"expected grey values below {2**bit_depth} at bit depth {bit_depth}, got {highest}")
    return Frame(image.pixels, bit_depth or image.bit_depth, 0, time_ns(), monotonic_ns())


def _optics(
    wavelength_nm: float | None, pixel_um: float | None, magnification: float, na: float | None
) -> Optics | None:
    if wavelength_nm is None:
        if (pixel_um, magnification, na) != (None, 1.0, None):
            raise HTTPException(422, "expected wavelength_nm beside pixel_um, magnification and na; give all or none")
        return None
    try:
        return Optics(wavelength_nm * 1e-9, None if pixel_um is None else pixel_um * 1e-6, magnification, na)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _sent(station: Station, frame: Frame, optics: Optics | None) -> Task:
    camera = CameraIdentity("sent", "", "", "", frame.shape, frame.bit_depth, None, optics)
    options = station.settings.engine_options(optics, Sideband.AUTO)
    return Task(frame, camera, replace(options, carrier_cycles_per_px=None))


def _newest(station: Station) -> Task:
    newest = station.hub.latest
    if newest is None:
        raise HTTPException(503, f"expected a live frame, and none has come yet: {station.pipeline.state.sentence}")
    tuning = station.tuning
    options = station.settings.engine_options(newest.camera.optics, tuning.now.sideband)
    return Task(newest.frame, newest.camera, options, tuning.calibration)
