"""The regions' history as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qpi_live.models.analysis.regions import REGION_COLUMNS, RegionFigures


def region_history(moments: Iterable[tuple[int, int, list[RegionFigures]]]) -> dict[str, list[Any]]:
    """A row for each region and moment: the frame's number and capture time in ns, the name, the figures."""
    table: dict[str, list[Any]] = {name: [] for name in ("sequence", "captured_ns", "region", *REGION_COLUMNS)}
    for sequence, captured_ns, regions in moments:
        for region in regions:
            for name, value in zip(table, (sequence, captured_ns, region.name), strict=False):
                table[name].append(value)
            for name in REGION_COLUMNS:
                table[name].append(region.values[name])
    return table
