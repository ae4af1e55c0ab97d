"""The camera's window over REST: which part of the chip is read out, binned how, in which pixel format."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from qpi_live.camera.window import WindowChange
from qpi_live.service.api.camera_routes import Configurable
from qpi_live.service.api.routes import AtStation, problems


class SensorWindow(BaseModel):
    """What is read out now, and what could be; lengths are in the frames' own pixels, hence binned ones."""

    model_config = ConfigDict(from_attributes=True)

    y: int = Field(description="first row on the chip")
    x: int = Field(description="first column on the chip")
    height: int
    width: int
    full_height: int = Field(description="of the whole chip with the present binning")
    full_width: int = Field(description="of the whole chip with the present binning")
    least_height: int
    least_width: int
    step_y: int
    step_x: int
    step_height: int
    step_width: int
    binning: tuple[int, int] = Field(description="vertical and horizontal")
    binnings: tuple[int, ...] = Field(description="what binning may be; 1 alone where the camera has none")
    pixel_format: str = Field(description="by the Pixel Format Naming Convention")
    pixel_formats: tuple[str, ...] = Field(description="those that this service reads")


class NewWindow(BaseModel):
    """What to change; what is left out stays, and a new binning alone goes on showing the same part of the chip."""

    model_config = ConfigDict(extra="forbid")

    y: int | None = Field(default=None, ge=0, lt=2**31, description="first row; together with x, height and width")
    x: int | None = Field(default=None, ge=0, lt=2**31, description="first column")
    height: int | None = Field(default=None, ge=1, lt=2**31)
    width: int | None = Field(default=None, ge=1, lt=2**31)
    full: bool = Field(default=False, description="the whole chip instead of an area")
    binning: int | None = Field(default=None, ge=1, le=64, description="in both directions, one of `binnings`")
    pixel_format: str | None = Field(default=None, max_length=64, description="one of `pixel_formats`")

    @model_validator(mode="after")
    def _check_area(self) -> NewWindow:
        given = [side is not None for side in (self.y, self.x, self.height, self.width)]
        if any(given) and not all(given):
            raise ValueError("expected y, x, height and width together, or none of them")
        if self.full and any(given):
            raise ValueError("expected either an area or the full chip, got both")
        if not (self.full or any(given) or self.binning or self.pixel_format):
            raise ValueError("expected an area, full, binning or pixel_format, got none of them")
        return self

    @property
    def change(self) -> WindowChange:
        """What the camera is asked for."""
        area = None
        if self.y is not None and self.x is not None and self.height is not None and self.width is not None:
            area = (self.y, self.x, self.height, self.width)
        return WindowChange(area, self.full, self.binning, self.pixel_format)


router = APIRouter(prefix="/camera", tags=["camera"], responses=problems(409, 422, 503))


@router.get("/window", summary="The part of the chip that is read out")
async def window(camera: Configurable, station: AtStation) -> SensorWindow:
    """Read from the camera now, with its limits and steps."""
    return SensorWindow.model_validate(await station.camera_requests.run(camera.window))


@router.put("/window", summary="Read out another part of the chip")
async def set_window(camera: Configurable, station: AtStation, new: NewWindow) -> SensorWindow:
    """The window as it is from now on; the camera is stopped and started for it.

    An area off the camera's steps becomes the smallest window that holds it. What the camera does not take changes
    nothing. Frames of the new window are a new epoch, and a calibration frame of another window rests.
    """
    return SensorWindow.model_validate(await station.camera_requests.run(lambda: camera.set_window(new.change)))
