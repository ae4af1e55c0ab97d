"""The classical engines by where their chain runs, for tests that hold for each: cores, or kernels on the host."""

from __future__ import annotations

from collections.abc import Callable

from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.classical_cuda import ClassicalCudaEngine
from qpi_live.models.engines.off_axis import OffAxisEngine

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler

MakeEngine = Callable[[EngineOptions], OffAxisEngine]


def on_device(options: EngineOptions) -> OffAxisEngine:
    """`goldstein-cuda` with its kernels' own source on the host."""
    needs_compiler()
    device = HostDevice()
    return ClassicalCudaEngine(options, open_device=lambda: device)


CHAINS: dict[str, MakeEngine] = {"goldstein": ClassicalEngine, "goldstein-cuda": on_device}
