"""Which floor stands beside which engine's stages."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from qpi_live.bench.floors.gpu import GpuRates, device_floors_ms, measured_rates
from qpi_live.bench.floors.machine import classical_floors_ms, copy_bandwidth
from qpi_live.bench.report import console
from qpi_live.bench.timing.engines import network_of
from qpi_live.camera.device import DeviceError
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import DeviceEngine, PhaseEngine
from qpi_live.models.engines.onnx import SHIPPED

if TYPE_CHECKING:
    from qpi_live.bench.floors.network import NetworkWork


class Floors:
    """Floors for frames like `frame`, each rate measured when it is first needed.

    Args:
        frame: one of those that the engines are timed on.
        threads: CPU threads an engine may use.
    """

    def __init__(self, frame: Frame, threads: int | None) -> None:
        self._frame = frame
        self._threads = threads
        self._gpu_rates: GpuRates | None = None

    def of(self, name: str, engine: PhaseEngine) -> dict[str, float]:
        """The floor of each stage that has one, in ms."""
        if isinstance(engine, DeviceEngine):
            return self._on_device(name, engine)
        if engine.identity.kind == "network":
            return self._on_cpu(name, engine)
        radius = engine.identity.detail.get("band_radius_cycles_per_px")
        return classical_floors_ms(self._frame.shape, radius) if isinstance(radius, float) else {}

    def _on_device(self, name: str, engine: DeviceEngine) -> dict[str, float]:
        try:
            rates = self._gpu_rates = self._gpu_rates or measured_rates(engine.open_device())
        except DeviceError as error:
            console.print(f"The floors of {name} are left out: {error}")
            return {}
        work = None if engine.identity.kind == "classical" else self._work(name)
        macs, weight_bytes = (work.macs, work.weight_bytes) if work else (None, 0)
        return device_floors_ms(rates, self._frame.shape, self._frame.pixels.itemsize, macs, weight_bytes)

    def _on_cpu(self, name: str, engine: PhaseEngine) -> dict[str, float]:
        """The matrix product of the same arithmetic, or the bytes moved once, whichever takes longer."""
        work = self._work(name)
        if work is None or self._networks is None:
            return {}
        moving_s = work.bytes_moved / copy_bandwidth()
        # In fp16 and int8 the arithmetic is another; what a float32 product takes is no floor of it.
        is_float = engine.identity.detail.get("precision") == "fp32"
        arithmetic_s = work.macs / self._matrix_rate if is_float else 0.0
        return {"network": round(max(moving_s, arithmetic_s) * 1e3, 3)}

    def _work(self, name: str) -> NetworkWork | None:
        """The network's work, from its ONNX file: that itself, the one beside an engine, or the one that ships."""
        named = Path(network_of(name))
        file = named.with_suffix(".onnx") if named.suffix else SHIPPED
        if self._networks is None:
            return None
        if not file.is_file():
            console.print(f"The arithmetic's floor of {name} is left out: no {file} to count it in")
            return None
        try:
            work: NetworkWork = self._networks.network_work(file, self._frame.shape)
        except ValueError as error:
            console.print(f"The arithmetic's floor of {name} is left out: {error}")
            return None
        return work

    @cached_property
    def _matrix_rate(self) -> float:
        assert self._networks is not None
        rate: float = self._networks.matrix_rate(self._threads)
        return rate

    @cached_property
    def _networks(self) -> ModuleType | None:
        try:
            return import_module("qpi_live.bench.floors.network")
        except ModuleNotFoundError as missing:
            console.print(f"{missing.name} is missing, so networks have no floor: pip install 'qpi-live[train]'")
            return None
