"""What is to be measured of a camera's frames, as a person chose it and as it is remembered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

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

    Raises:
        ValueError: two regions of a name, too many, or α beyond what matter has.
    """

    finds_cells: bool = False
    alpha_um3_per_pg: float = USUAL_ALPHA
    cells: CellSettings = field(default_factory=CellSettings)
    regions: tuple[Region, ...] = ()

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

    def to_json(self) -> dict[str, Any]:
        """As the file of remembered choices has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: object) -> Choices:
        """What `to_json` gave; what it cannot have given counts as nothing chosen."""
        try:
            chosen = dict(kept) if isinstance(kept, dict) else {}
            chosen["cells"] = CellSettings(**chosen.get("cells", {}))
            chosen["regions"] = tuple(Region(**region) for region in chosen.get("regions", ()))
            return cls(**chosen)
        except (TypeError, ValueError):
            return cls()
