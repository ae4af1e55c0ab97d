"""The regions' history, and as a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.analysis.regions import REGION_COLUMNS, RegionFigures

_MOST_MOMENTS = 12_000  # ten minutes at 20 frames a second
_MOST_ROWS = 100_000  # of 120 bytes: as many moments, where there are up to eight regions
Moment = tuple[int, int, tuple[str, ...], NDArray[np.float64]]


class RegionHistory:
    """The newest moments of all regions: figures alone, NaN where there are none. At most 12 MB of them."""

    def __init__(self) -> None:
        self._moments: deque[Moment] = deque()
        self._rows = 0

    def __len__(self) -> int:
        return len(self._moments)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    @property
    def nbytes(self) -> int:
        """Bytes of the figures that are kept."""
        return sum(values.nbytes for *_, values in self._moments)

    def note(self, sequence: int, captured_ns: int, regions: list[RegionFigures]) -> None:
        """Keep what was measured of a frame; in place of what is known of it, where it was measured before."""
        values = np.array(
            [[np.nan if one.values[name] is None else one.values[name] for name in REGION_COLUMNS] for one in regions],
            np.float64,
        )
        if self._moments and self._moments[-1][:2] == (sequence, captured_ns):
            self._rows -= len(self._moments.pop()[2])
        self._moments.append((sequence, captured_ns, tuple(one.name for one in regions), values))
        self._rows += len(regions)
        while self._rows > _MOST_ROWS or len(self._moments) > _MOST_MOMENTS:
            self._rows -= len(self._moments.popleft()[2])

    def table(self) -> dict[str, list[Any]]:
        """A row for each region and moment: the frame's number and capture time in ns, the name, the figures."""
        table: dict[str, list[Any]] = {name: [] for name in ("sequence", "captured_ns", "region", *REGION_COLUMNS)}
        for sequence, captured_ns, names, values in self._moments:
            table["sequence"] += [sequence] * len(names)
            table["captured_ns"] += [captured_ns] * len(names)
            table["region"] += names
            for name, column in zip(REGION_COLUMNS, values.T, strict=True):
                table[name] += [None if np.isnan(value) else value for value in column.tolist()]
        return table
