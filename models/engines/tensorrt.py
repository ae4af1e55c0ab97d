"""A compiled network as an engine, on a GPU through TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qpi_live.camera.device import Device, DeviceError
from qpi_live.camera.gpu.cuda_device import open_device as open_cuda_device
from qpi_live.models.artifacts.compiled_network import CompiledCard
from qpi_live.models.artifacts.compiler import CompilerLibrary, Execution
from qpi_live.models.artifacts.sizes import Shape
from qpi_live.models.artifacts.tensorrt_library import library_named
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.device_network import DeviceNetwork, refuse
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.phase_frame import EngineIdentity


class TensorRtEngine(DeviceNetwork):
    """`DeviceNetwork` that runs what `qpi compile` wrote.

    Args:
        options: nothing in it matters here.
        path: the compiled network's file, with its card beside it.
        library: runs it; by default the one it was made with.
        open_device: gives the device to run it on, again after that was lost; by default the machine's GPU.

    Raises:
        EngineUnavailable: no such file; one that its card does not match; one made by another version of the
            library or for another GPU; or no library or GPU here.
    """

    def __init__(
        self,
        options: EngineOptions,
        path: Path,
        *,
        library: CompilerLibrary | None = None,
        open_device: Callable[[], Device] | None = None,
    ) -> None:
        self._path = path
        _read_compiled(path)
        self.card = CompiledCard.load(path)
        self._content()
        self._library = library or library_named(self.card.library)
        refuse(self.card.why_other_library(path, self._library.version))
        super().__init__(path.name, self.card.network, open_device or open_cuda_device)
        try:
            found = self.open_device().identity
        except DeviceError as error:
            raise EngineUnavailable(f"{path.name} needs a GPU: {error}") from error
        refuse(self.card.why_other_gpu(path, found))
        runtime = f"{self._library.name} {self._library.version}"
        self._identity = self.network.engine_identity(found.name, path.name, self.card.precision, runtime)

    @property
    def identity(self) -> EngineIdentity:
        """Which network this is, what it was trained on, and what runs it."""
        return self._identity

    def _loaded(self) -> Execution:
        return self._library.load(self._content())

    def _why_not(self, shape: Shape, bit_depth: int) -> str | None:
        refusal = self.card.sizes.why_not(shape)
        if refusal:
            size = f"{shape[0]}x{shape[1]}"
            return f"{refusal}; choose such a --size, or qpi compile {self.card.model} -o {self._path} --size {size}"
        return self.network.why_not(shape, bit_depth)

    def _content(self) -> bytes:
        content = _read_compiled(self._path)
        refuse(self.card.why_altered(self._path, content))
        return content


def _read_compiled(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineUnavailable(
            f"expected a compiled network at {path}, got: {error.strerror}; build one: qpi compile MODEL.onnx -o {path}"
        ) from error
