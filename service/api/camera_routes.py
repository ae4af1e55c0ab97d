"""The camera over REST: its features by name, start and stop, its settings as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from qpi_live.camera.errors import CameraError, FeatureMissing, FeatureRefused
from qpi_live.camera.features import ConfigurableCamera, FeatureValue
from qpi_live.camera.optics import StatedOptics
from qpi_live.service.api import schemas
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.station import Station

Kind = Literal["integer", "float", "boolean", "string", "enumeration", "command"]


class Feature(BaseModel):
    """One feature of the camera, as it is now."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: Kind
    value: FeatureValue | None = Field(description="null for a command, and for what cannot be read now")
    unit: str
    minimum: float | None = Field(description="of the range it takes now; null where there is none")
    maximum: float | None = Field(description="of the range it takes now; null where there is none")
    increment: int | None = Field(description="step from the minimum on; null where there is none")
    choices: tuple[str, ...] = Field(description="what an enumeration takes now")
    readable: bool
    writable: bool
    stored: bool = Field(description="whether it belongs into saved settings")
    category: str
    description: str


def _fits_in_64_bits(value: FeatureValue) -> FeatureValue:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("expected a number of at most 64 bits")
    return value


Settable = Annotated[FeatureValue, AfterValidator(_fits_in_64_bits)]


class NewValue(BaseModel):
    """What to set a feature to; a command is executed, whatever the value."""

    model_config = ConfigDict(extra="forbid")

    value: Settable


class CameraAnswer(BaseModel):
    """Who the camera is, and what can be done with it."""

    configurable: bool = Field(description="whether it has features to set, and can be stopped and started")
    paused: bool = Field(description="whether it was stopped by a user")
    camera: schemas.Camera
    sources: tuple[str, ...] = Field(description="the cameras that can be switched to, this one included")
    stated_optics: schemas.Stated = Field(description="what was said of its optics, in place of what it says itself")


class Source(BaseModel):
    """Which camera to take frames from."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=600, description="one of `sources`")


class NotConfigurable(Exception):
    """The camera has no features."""


async def _camera(station: AtStation) -> ConfigurableCamera:
    camera = station.camera
    if isinstance(camera, ConfigurableCamera):
        return camera
    raise NotConfigurable(
        f"expected a camera with features, such as a GenICam camera (gentl:…), got {camera.identity.source!r}"
    )


Configurable = Annotated[ConfigurableCamera, Depends(_camera)]
FeatureName = Annotated[str, Path(max_length=200, description="the feature's name, as in the list of all")]

router = APIRouter(prefix="/camera", tags=["camera"], responses=problems(422))
_of_features = problems(409, 503)


@router.get("", summary="The camera, and whether it can be set")
async def camera(station: AtStation) -> CameraAnswer:
    """Who it is, what it sends, and whether a user has stopped it."""
    return _answer(station)


@router.put("/source", summary="Switch to another camera", responses=problems(503))
async def switch(station: AtStation, new: Source) -> CameraAnswer:
    """Frames come from it after a moment, with the sideband remembered for it and without a calibration frame."""
    if new.source not in station.sources:
        raise HTTPException(422, f"expected a camera among {', '.join(station.sources)}, got {new.source!r}")
    await station.camera_requests.run(lambda: station.switch_camera(new.source))
    return _answer(station)


@router.put("/optics", summary="Say what the camera's optics are", responses=problems(503))
async def state_optics(station: AtStation, stated: schemas.Stated) -> CameraAnswer:
    """Frames travel with these optics from now on, and the phase's band follows; kept for this camera.

    What is left out, or null, is as the camera itself says. An empty object takes back all that was said.
    """
    said = StatedOptics(**stated.model_dump())
    try:
        await station.camera_requests.run(lambda: station.state_optics(said))
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return _answer(station)


@router.get("/features", summary="All features", responses=_of_features)
async def features(camera: Configurable, station: AtStation) -> list[Feature]:
    """All that the camera has, in its own order, with type, unit, range and access."""
    return [Feature.model_validate(feature) for feature in await station.camera_requests.run(camera.features)]


@router.get("/features/{name}", summary="One feature", responses=_of_features | problems(404))
async def feature(camera: Configurable, station: AtStation, name: FeatureName) -> Feature:
    """Read from the camera now."""
    return Feature.model_validate(await station.camera_requests.run(lambda: camera.feature(name)))


@router.put("/features/{name}", summary="Set a feature", responses=_of_features | problems(404))
async def set_feature(camera: Configurable, station: AtStation, name: FeatureName, new: NewValue) -> Feature:
    """The feature as read back; a value that is refused says what the camera takes, and changes nothing.

    Size and pixel format can be set while the camera is stopped.
    """
    return Feature.model_validate(await station.camera_requests.run(lambda: camera.set_feature(name, new.value)))


@router.post("/stop", summary="Stop the camera", responses=_of_features)
async def stop(camera: Configurable, station: AtStation) -> CameraAnswer:
    """It sends no frames until it is started; the service goes on."""
    await station.camera_requests.run(camera.pause)
    return _answer(station)


@router.post("/start", summary="Start the camera again", responses=_of_features)
async def start(camera: Configurable, station: AtStation) -> CameraAnswer:
    """Frames come in the size and format set now."""
    await station.camera_requests.run(camera.resume)
    return _answer(station)


@router.get("/settings", summary="What to save", responses=_of_features)
async def save_settings(camera: Configurable, station: AtStation) -> dict[str, FeatureValue]:
    """All that makes the camera what it is now, in the order to set it; also what `--camera-settings` reads."""
    return await station.camera_requests.run(camera.save_settings)


@router.put("/settings", summary="Load what was saved", responses=_of_features | problems(404))
async def load_settings(camera: Configurable, station: AtStation, settings: dict[str, Settable]) -> CameraAnswer:
    """All are set, in order; if the camera refuses one, the answer says which, and the others stay set."""
    await station.camera_requests.run(lambda: camera.load_settings(settings))
    return _answer(station)


def answer_camera_errors(app: FastAPI) -> None:
    """Whatever a camera refuses is answered with one sentence in `detail`."""
    statuses: dict[type[Exception], int] = {
        FeatureMissing: 404,
        FeatureRefused: 422,
        NotConfigurable: 409,
        CameraError: 503,
    }
    for error, status in statuses.items():
        app.exception_handler(error)(_answer_with(status))


def _answer_with(status: int):  # type: ignore[no-untyped-def]  # Starlette's own type of handlers is private
    async def answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status)

    return answer


def _answer(station: Station) -> CameraAnswer:
    camera = station.camera
    configurable = isinstance(camera, ConfigurableCamera)
    return CameraAnswer(
        configurable=configurable,
        paused=isinstance(camera, ConfigurableCamera) and camera.is_paused,
        camera=schemas.Camera.of(station.cameras.identity),
        sources=station.sources,
        stated_optics=schemas.Stated.model_validate(station.cameras.stated_optics),
    )
