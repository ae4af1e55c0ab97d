"""Cells, regions, focus and averages, asked for from a program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qpi_live.models.analysis.regions import Region
    from qpi_live.service.client.rest import Rest


class Measuring:
    """What the page's measuring can do; every method may raise ServiceError with the service's own sentence."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def cells(self, outlines: bool = False) -> dict[str, Any]:
        """The cells of the newest frame: `cells`, a list of rows that `pandas.DataFrame` takes; `columns`, what each
        figure says; `count`, `confluence`, `events`, and with `outlines` the (y, x) corners of each in pixels."""
        return dict(self._rest.ask("GET", "/cells", params={"outlines": outlines}).json())

    def cell(self, number: int) -> dict[str, Any]:
        """One cell's dry mass through time, by its id, and how fast it grows."""
        return dict(self._rest.ask("GET", f"/cells/{number:d}").json())

    def find_cells(self, finds_cells: bool = True, **choice: Any) -> dict[str, Any]:
        """Look for cells in every frame there is time for, or do not; `choice` is what counts as a cell.

        Args:
            finds_cells: see above.
            choice: `alpha_um3_per_pg`, `threshold_rad`, `noises`, `least_px`, `dip`, `clear_border`; what is left out
                stays as it is.
        """
        before = self._rest.ask("GET", "/cells/choice").json()
        wanted = {**before, **choice, "finds_cells": finds_cells}
        return dict(self._rest.ask("PUT", "/cells/choice", json=wanted).json())

    def table_csv(self) -> str:
        """The table of cells as CSV."""
        return self._rest.ask("GET", "/cells/table.csv").text

    def regions(self) -> dict[str, Any]:
        """The regions, and the figures measured in them last."""
        return dict(self._rest.ask("GET", "/regions").json())

    def draw(self, regions: Iterable[Region | dict[str, Any]]) -> dict[str, Any]:
        """Let these take the place of all regions; each a `Region` or its JSON. As `regions`."""
        drawn = [
            one
            if isinstance(one, dict)
            else {"name": one.name, "shape": one.shape, "points": list(one.points), "role": one.role}
            for one in regions
        ]
        return dict(self._rest.ask("PUT", "/regions", json={"regions": drawn}).json())

    def history_csv(self) -> str:
        """The regions' figures over time as CSV."""
        return self._rest.ask("GET", "/regions/table.csv").text

    def focus(
        self, metric: str | None = None, range_um: float = 30.0, region: str | None = None, sample: str = "phase"
    ) -> dict[str, Any]:
        """Where the newest frame is sharpest: `distance_um`, and what was tried.

        Args:
            metric: how sharpness is measured: `variance`, `gradient`, `laplacian`, `spectrum` or `edge_sparsity`; None:
                variance, or edge sparsity where light is saturated.
            range_um: what to search, in µm around the focus.
            region: name of a drawn region to focus on; None: the whole picture.
            sample: whether it shows in `phase` or in `amplitude`.
        """
        given = {"metric": metric, "region": region, "range_um": range_um, "sample": sample}
        params = {name: value for name, value in given.items() if value is not None}
        return dict(self._rest.ask("GET", "/focus", params=params).json())

    def average(self, frames: int) -> dict[str, Any]:
        """Average over so many frames from the next one on, for the layers `mean` and `fluctuation`; 1: do not."""
        return dict(self._rest.ask("PUT", "/averaging", json={"frames": frames}).json())

    def take_reference(self) -> dict[str, Any]:
        """Let the mean, the newest frame where nothing is averaged, be what the layer `change` is counted from."""
        return dict(self._rest.ask("PUT", "/averaging/reference").json())

    def drop_reference(self) -> dict[str, Any]:
        """Compare with nothing."""
        return dict(self._rest.ask("DELETE", "/averaging/reference").json())
