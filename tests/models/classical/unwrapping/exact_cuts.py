"""The least cost of branch cuts, the slow way: a full search from every residue, then an assignment of all."""

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.classical.unwrapping.branch_cuts import BranchCuts
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra


def link_prices(
    wrapped_rad: NDArray[np.float32], amplitude: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What it costs to block each link to the right, (H, W − 1), and down, (H − 1, W): a² · (1 − |Δ|/π)² + 1/64."""
    bright = amplitude.astype(np.float64) / np.median(amplitude)

    def price(axis: int) -> NDArray[np.float64]:
        step = np.diff(wrapped_rad.astype(np.float64), axis=axis)
        step = np.abs(step - 2 * np.pi * np.rint(step / (2 * np.pi)))
        weaker = np.minimum(*(bright[1:], bright[:-1]) if axis == 0 else (bright[:, 1:], bright[:, :-1]))
        return 1 / 64 + np.minimum(weaker, 1) ** 2 * (1 - step / np.pi) ** 2

    return price(1), price(0)


def cost_of(cuts: BranchCuts, wrapped_rad: NDArray[np.float32], amplitude: NDArray[np.float32]) -> float:
    """What given cuts cost."""
    right, down = link_prices(wrapped_rad, amplitude)
    return float(right[cuts.right[:, :-1] > 0].sum() + down[cuts.down[:-1] > 0].sum())


def least_cost(residues: NDArray[np.int32], wrapped_rad: NDArray[np.float32], amplitude: NDArray[np.float32]) -> float:
    """The least that any cuts cost that balance all residues."""
    right, down = link_prices(wrapped_rad, amplitude)
    height, width = wrapped_rad.shape
    corner = np.arange((height - 1) * (width - 1)).reshape(height - 1, width - 1)
    border = corner.size
    # Between neighbouring corners of a row lies the link down, between those of a column the link to the right.
    steps = [
        (corner[:, :-1], corner[:, 1:], down[:, 1:-1]),
        (corner[:-1], corner[1:], right[1:-1]),
        (corner[0], np.full(width - 1, border), right[0]),
        (corner[-1], np.full(width - 1, border), right[-1]),
        (corner[:, 0], np.full(height - 1, border), down[:, 0]),
        (corner[:, -1], np.full(height - 1, border), down[:, -1]),
    ]
    start, end, price = (np.concatenate([step[i].ravel() for step in steps]) for i in range(3))
    cheapest = np.full(border, np.inf)  # a corner of the frame has two ways to the border
    np.minimum.at(cheapest, start[end == border], price[end == border])
    inner = end != border
    ways = csr_array((price[inner], (start[inner], end[inner])), shape=(border, border))
    at = corner[residues[:, 0], residues[:, 1]]
    far = dijkstra(ways, directed=False, indices=at)
    out = (far + cheapest).min(axis=1)
    positive = residues[:, 2] > 0
    between = far[np.ix_(positive, at[~positive])]
    # Each residue may take the border for itself; border places that nobody takes go to each other for nothing.
    table = np.block(
        [
            [between, np.where(np.eye(positive.sum(), dtype=bool), out[positive][:, None], np.inf)],
            [
                np.where(np.eye((~positive).sum(), dtype=bool), out[~positive][:, None], np.inf),
                np.zeros(between.T.shape),
            ],
        ]
    )
    return float(table[linear_sum_assignment(table)].sum())
