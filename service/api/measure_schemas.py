"""The JSON of cells, regions and focus; OpenAPI is made from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from qpi_live.models.analysis.cells import CELL_COLUMNS
from qpi_live.models.analysis.regions import REGION_COLUMNS, Region, Role, Shape
from qpi_live.models.analysis.scale import LEAST_ALPHA, MOST_ALPHA, USUAL_ALPHA
from qpi_live.models.analysis.segmentation import CellSettings
from qpi_live.service.api.schemas import Account
from qpi_live.service.measuring.choices import MOST_REGIONS

_Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]

_USUAL = CellSettings()


class CellChoice(BaseModel):
    """What counts as a cell, and whether cells are looked for in every frame there is time for."""

    model_config = ConfigDict(extra="forbid")

    finds_cells: bool = Field(default=True, description="in every frame there is time for; else only when asked")
    alpha_um3_per_pg: float = Field(
        default=USUAL_ALPHA,
        ge=LEAST_ALPHA,
        le=MOST_ALPHA,
        description="specific refraction increment α in µm³/pg: 0.18 … 0.20 for cells (Barer 1952)",
    )
    threshold_rad: float | None = Field(
        default=None, gt=0, lt=1000, description="a cell's least height in rad; null: `noises` times the noise"
    )
    noises: float = Field(default=_USUAL.noises, ge=1, le=100)
    least_px: int = Field(default=_USUAL.least_px, ge=1, le=10**8, description="a cell's least area in pixels")
    dip: float = Field(
        default=_USUAL.dip, ge=0, lt=1, description="touching cells are parted at saddles deeper than this share"
    )
    clear_border: bool = Field(default=False, description="leave out cells that the frame's edge cuts")

    def settings(self) -> CellSettings:
        """The part that says what counts as a cell."""
        return CellSettings(self.threshold_rad, self.noises, self.least_px, self.dip, self.clear_border)


class RegionModel(BaseModel):
    """A part of the picture; points are (y, x) in pixels of the camera's frame."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=80, description="no other region's")
    shape: Shape = Field(description="rectangle, ellipse, polygon or line")
    points: list[tuple[_Coordinate, _Coordinate]] = Field(
        min_length=2,
        max_length=1000,
        description="two opposite corners of a rectangle, or of the box around an ellipse; three or more corners of a "
        "polygon; two or more points of a line",
    )
    role: Role = Field(
        default=Role.MEASURE,
        description="measure; background: there is nothing, the level is taken there; excluded: nothing is measured",
    )

    @classmethod
    def of(cls, region: Region) -> RegionModel:
        """The JSON of a region."""
        return cls(name=region.name, shape=region.shape, points=list(region.points), role=region.role)

    def region(self) -> Region:
        """The region; ValueError where it is none."""
        return Region(self.name, self.shape, tuple(self.points), self.role)


class Regions(BaseModel):
    """All regions of a camera."""

    model_config = ConfigDict(extra="forbid")

    regions: list[RegionModel] = Field(max_length=MOST_REGIONS)


class Frame(BaseModel):
    """Which frame was measured, and how."""

    sequence: int
    captured_ns: int
    epoch: int
    camera: str = Field(description="what the camera was opened as")
    level_rad: float = Field(description="the background's level, which figures are counted from")
    took_ms: float
    missing: list[str] = Field(description="what to say of the optics before every figure has its unit")
    resting: str | None = Field(description="why the regions do not hold for the newest frame; null: they do")
    account: Account = Field(description="frames offered to the measuring; superseded: skipped for lack of time")


class RegionAnswer(BaseModel):
    """A region's figures in one frame; null where there are none, or the optics are not known."""

    name: str
    figures: dict[str, float | None] = Field(description="; ".join(f"{n}: {w}" for n, w in REGION_COLUMNS.items()))
    histogram: list[int]
    edges_rad: tuple[float, float] = Field(description="where the histogram begins and ends")


class RegionsAnswer(Regions):
    """All regions, and what was measured in them."""

    model_config = ConfigDict(extra="ignore")

    frame: Frame | None = Field(description="null before the first one")
    figures: list[RegionAnswer]


class CellEvent(BaseModel):
    """What happened to a cell."""

    kind: Literal["divided", "merged"]
    id: int
    others: list[int]
    seconds_ago: float


class CellsAnswer(BaseModel):
    """The cells of one frame."""

    frame: Frame
    count: int
    confluence: float = Field(description="share of the frame that cells cover, 0 … 1")
    noise_rad: float
    threshold_rad: float
    columns: dict[str, str] = Field(description="the table's columns and what each says")
    cells: list[dict[str, Any]] = Field(description="a row for each cell: " + ", ".join(CELL_COLUMNS))
    outlines: list[list[list[int]]] | None = Field(
        default=None, description="with `outlines=true`: (y, x) corners in pixels, for each cell"
    )
    events: list[CellEvent] = Field(description="the newest divisions and merges")
    files: list[str] = Field(description="the files below `/cells/` that packages installed here can write")
    choice: CellChoice


class CellHistory(BaseModel):
    """One cell through time."""

    id: int
    parent: int
    merged: list[int]
    time_s: list[float] = Field(description="since it was first seen")
    mass: list[float] = Field(description="in `unit`")
    mass_error: list[float]
    unit: Literal["pg", "rad px"]
    growth_per_h: float | None
    growth_error_per_h: float | None
    doubling_h: float | None


class FocusAnswer(BaseModel):
    """Where the newest frame is sharpest."""

    distance_um: float = Field(description="by how much the focal plane should move along the light")
    at_edge: bool = Field(description="whether that is the end of what was searched")
    metric: str
    scanned_um: list[float]
    sharpness: list[float]
    depth_of_field_um: float | None
    remark: str = Field(description="why it may be off, for people; empty where nothing says so")
