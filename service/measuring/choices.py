"""What is to be measured of a camera's frames, as a person chose it and as it is remembered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from qpi_live.camera.frame import Frame
from qpi_live.models.analysis.regions import Region
from qpi_live.models.analysis.scale import USUAL_ALPHA, Scale
from qpi_live.models.analysis.segmentation import CellSettings

MOST_REGIONS = 64


@dataclass(frozen=True, slots=True)
class Choices:
    """What is measured.

    Attributes:
        finds_cells: whether cells are looked for in every frame there is time for.
        alpha_um3_per_pg: α of dry mass, in µm³/pg.
        cells: what counts as a cell.
        regions: what a person drew; names are their own.
        drawn_on: what of the sensor frames showed when the regions were drawn, see `window_of`; "": no frame had come.

    Raises:
        ValueError: two regions of a name, too many, or α beyond what matter has.
    """

    finds_cells: bool = False
    alpha_um3_per_pg: float = USUAL_ALPHA
    cells: CellSettings = field(default_factory=CellSettings)
    regions: tuple[Region, ...] = ()
    drawn_on: str = ""

    def __post_init__(self) -> None:
        Scale(alpha_um3_per_pg=self.alpha_um3_per_pg)
        names = [region.name for region in self.regions]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"expected a name of its own for each region, got {twice!r} twice")
        if len(names) > MOST_REGIONS:
            raise ValueError(f"expected at most {MOST_REGIONS} regions, got {len(names)}")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.finds_cells and not self.regions

    def regions_on(self, frame: Frame) -> tuple[Region, ...]:
        """The regions that hold for a frame: none where it shows another part of the sensor than they were drawn on."""
        return self.regions if self.drawn_on in ("", window_of(frame)) else ()

    def resting(self, frame: Frame) -> str:
        """Why the regions rest on a frame, in one sentence; "" where they do not."""
        if not self.regions or self.regions_on(frame):
            return ""
        return (
            f"The regions rest: they were drawn on {self.drawn_on}, and frames are now {window_of(frame)}; "
            "go back to that window, or draw them anew."
        )

    def to_json(self) -> dict[str, Any]:
        """As the file of remembered choices has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: object) -> Choices:
        """What `to_json` gave; what it cannot have given counts as nothing chosen."""
        try:
            chosen = dict(kept) if isinstance(kept, dict) else {}
            chosen["drawn_on"] = str(chosen.get("drawn_on", ""))
            chosen["cells"] = CellSettings(**chosen.get("cells", {}))
            chosen["regions"] = tuple(Region(**region) for region in chosen.get("regions", ()))
            return cls(**chosen)
        except (TypeError, ValueError):
            return cls()


def window_of(frame: Frame) -> str:
    """What of the sensor a frame shows, for people and to compare: its size, and what the camera says of its window."""
    height, width = frame.shape
    named = [f"{name} {value}" for name, value in sorted(frame.sensor_window.items())]
    if frame.origin_px is not None:
        named.append(f"from ({frame.origin_px[0]}, {frame.origin_px[1]}) on")
    return ", ".join([f"{height} × {width} px", *named])
