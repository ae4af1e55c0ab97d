"""The classical engine on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from qpi_live.camera.device import Device, DeviceError
from qpi_live.camera.frame import Frame
from qpi_live.camera.gpu.cuda_device import open_device as open_cuda_device
from qpi_live.models.classical.aberration import Background
from qpi_live.models.classical.chain import Chain
from qpi_live.models.classical.cuda.chain import CudaChain
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.off_axis import OffAxisEngine
from qpi_live.models.errors import EngineUnavailable, InferenceError
from qpi_live.models.phase_frame import PhaseFrame

_TALLEST = 65_535  # rows: as many blocks as a grid may have along y
_WIDEST = 32_000  # columns: where a run begins is kept in 16 bits


class ClassicalCudaEngine(OffAxisEngine):
    """`OffAxisEngine` and `DeviceEngine` whose chain runs on a GPU.

    A device that was lost is opened again for the next frame.

    Args:
        options: see `EngineOptions`.
        open_device: gives the device to run on, again after that was lost; by default the machine's GPU.

    Raises:
        EngineUnavailable: there is no GPU, or what drives it is missing.
    """

    def __init__(self, options: EngineOptions, *, open_device: Callable[[], Device] | None = None) -> None:
        super().__init__(options)
        self._open = open_device or open_cuda_device
        self._opening = Lock()
        self._device: Device | None = None
        try:
            self._device_name = self.open_device().identity.name
        except DeviceError as error:
            raise EngineUnavailable(f"expected a GPU for the engine goldstein-cuda, got none: {error}") from error

    @property
    def _name_and_device(self) -> tuple[str, str]:
        return "goldstein-cuda", self._device_name

    def open_device(self) -> Device:
        """See `DeviceEngine.open_device`."""
        with self._opening:
            if self._device is None or self._device.is_lost:
                self._device = self._open()
                self._device_name = self._device.identity.name
            return self._device

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Compile the kernels and run once over fringes of this size; the stream's own carrier is found later.

        Raises:
            EngineUnavailable: frames of this size cannot be inverted, or the device has no room for them.
        """
        if shape[0] > _TALLEST or shape[1] > _WIDEST:
            raise EngineUnavailable(
                f"expected frames of at most {_TALLEST} rows and {_WIDEST} columns, got {shape[0]} × {shape[1]}; "
                "take goldstein"
            )
        try:
            super().warm_up(shape, bit_depth)
        except DeviceError as error:
            raise EngineUnavailable(
                f"expected a GPU that inverts frames of {shape[0]} × {shape[1]} px, got: {error}"
            ) from error

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """See `OffAxisEngine.retrieve`.

        Raises:
            InferenceError: as there, or for the device's own reason.
        """
        try:
            return super().retrieve(frame)
        except DeviceError as error:
            raise InferenceError(error.reason, str(error)) from error

    def _lay_chain(self, retriever: TakedaRetriever, background: Background) -> Chain:
        return CudaChain(self.open_device(), retriever, background)
