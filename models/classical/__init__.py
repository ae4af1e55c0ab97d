"""The classical chain: carrier, Takeda's Fourier-transform method, Goldstein's branch cuts, background fit."""

import qpi_live.camera.kernel_cache  # noqa: F401 - before any kernel is declared
