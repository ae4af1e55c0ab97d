"""Nobody's array is given to somebody else, and no block of memory is forgotten."""

import gc

import numpy as np
import pytest
from numpy.typing import NDArray
from qpi_live.camera.gpu.page_locked import PageLockedPool

FLOAT = np.dtype(np.float32)


class Blocks:
    """What the driver would give and take."""

    def __init__(self) -> None:
        self.made = 0
        self.held = 0

    def allocate(self, nbytes: int) -> NDArray[np.uint8]:
        self.made += 1
        self.held += nbytes
        return np.empty(nbytes, np.uint8)

    def free(self, block: NDArray[np.uint8]) -> None:
        self.held -= block.nbytes


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


def test_pool_uses_a_block_again_once_the_last_view_is_gone(blocks: Blocks) -> None:
    pool = PageLockedPool(blocks.allocate, blocks.free)
    phase = pool.array((8, 16), FLOAT)
    assert phase.shape == (8, 16)
    assert phase.flags.c_contiguous
    assert phase.flags.writeable
    view = phase[2:, ::3]
    view[...] = 7
    del phase
    gc.collect()
    other = pool.array((8, 16), FLOAT)
    other[...] = 1
    assert (view == 7).all()
    assert blocks.made == 2
    del view, other
    gc.collect()
    again = [pool.array((8, 16), FLOAT) for _ in range(2)]
    assert blocks.made == 2
    assert not np.shares_memory(*again)


def test_pool_keeps_sizes_apart(blocks: Blocks) -> None:
    pool = PageLockedPool(blocks.allocate, blocks.free)
    pool.array((8, 16), FLOAT)
    pool.array((16, 8), np.dtype(np.uint8))
    assert blocks.made == 2
    pool.array((16, 8), FLOAT)
    pool.array((64, 2), np.dtype(np.uint8))
    assert blocks.made == 2


def test_pool_frees_what_lies_unused_beyond_its_bound(blocks: Blocks) -> None:
    pool = PageLockedPool(blocks.allocate, blocks.free, most_free_bytes=1000)
    held = [pool.array((400,), np.dtype(np.uint8)) for _ in range(5)]
    assert blocks.held == 2000
    held.clear()
    gc.collect()
    pool.array((100,), np.dtype(np.uint8))
    assert blocks.held <= 1100
    gc.collect()
    pool.close()
    assert blocks.held == 0


def test_pool_that_closes_leaves_alone_what_is_held(blocks: Blocks) -> None:
    pool = PageLockedPool(blocks.allocate, blocks.free)
    phase = pool.array((4, 4), FLOAT)
    pool.close()
    phase[...] = 3
    assert blocks.held == phase.nbytes
    assert (phase == 3).all()
