"""The background that a network finds: weights and sample phase by the network, the polynomial by least squares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.classical.aberration import Aberration, Background
from qpi_live.models.classical.block_map import EDGE, BlockMap
from qpi_live.models.engine import CHOSEN, LEARNED, POLYNOMIAL, EngineOptions
from qpi_live.models.errors import EngineUnavailable

_FINER = 2  # blocks of pixels along each side of one of the map's, so that odd frames are cut up evenly
_FEWEST_BLOCKS = 64  # of the map, below which there is nothing to fit four orders to


class LearnedBackground(Background):
    """`Background` that knows ground from objects by having seen many, also where there is hardly any ground.

    The map, roughly flattened, goes to the network, and the polynomial that it leads to is taken off. Then the nearly
    flat map goes there once more. The second look settles to hundredths of a radian what the first one found to tenths.

    Args:
        network: what tells ground from objects.
        shape: (H, W) of the phase maps in pixels.
        order: of the polynomial, 1 … 6. The network was trained for 4.
        threads: CPU threads for taking it off, None for all cores.

    Attributes:
        map: what the network sees of a frame.
    """

    def __init__(
        self, network: BackgroundNetwork, shape: tuple[int, int], order: int = 4, threads: int | None = None
    ) -> None:
        super().__init__(shape, order, threads, map_block_px(shape))
        self._network = network
        self.map = BlockMap(*self.at, order)

    def _found(self, means_rad: NDArray[np.float32], lit: NDArray[np.bool_] | None) -> Aberration:
        grid = self.map
        means, valid = grid.means(means_rad, lit)
        values = grid.first_guess(means, valid)
        if np.count_nonzero(valid) < _FEWEST_BLOCKS:
            values[1:] = 0
            values[0] = np.median(means[valid > 0]) if valid.any() else 0.0
            return Aberration(grid.matrix(values), 0, 0.0)
        flat = grid.without(means, values) * valid
        log_weight, sample_rad = self._network.judge(flat, valid)
        values += grid.solve(flat - sample_rad, log_weight, valid)
        flat = grid.without(means, values) * valid
        log_weight, sample_rad = self._network.judge(flat, valid)
        settled = grid.settle(flat - sample_rad, log_weight, valid)
        values += settled.values
        spread_rad = grid.spread(means, values, valid)
        return Aberration(grid.matrix(values), self.order, spread_rad, settled.doubt_rad, is_learned=True)


def map_block_px(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the blocks of pixels that the map's blocks are made of, for frames of (H, W)."""
    height, width = (max(1, length // (_FINER * EDGE)) for length in shape)
    return height, width


def network_for(options: EngineOptions) -> BackgroundNetwork | None:
    """The network for `options.background`; None where a polynomial is fitted, at first or always.

    Raises:
        EngineUnavailable: there is no such background.
    """
    background = options.background
    if background in (CHOSEN, POLYNOMIAL):
        return None
    if background == LEARNED:
        if options.learned_refusal:
            raise EngineUnavailable(options.learned_refusal)
        return BackgroundNetwork() if options.learned is None else BackgroundNetwork(options.learned)
    if not background.endswith(".onnx"):
        raise EngineUnavailable(
            f"expected a background among {CHOSEN}, {POLYNOMIAL}, {LEARNED} or the path of a learned one (.onnx), "
            f"got {background!r}"
        )
    return BackgroundNetwork(Path(background))
