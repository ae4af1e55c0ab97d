"""TensorRT 10 and 11 and TensorRT for RTX, whose Python interfaces are nearly the same, behind one interface.

Nothing else imports them. Which one is there is found out when it is asked for, since both are large and optional.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from qpi_live.camera.device import DeviceError, DeviceMemory, Stream
from qpi_live.models.artifacts.compiler import Capability, CompilerLibrary, Execution, Progress
from qpi_live.models.artifacts.sizes import Shape, Sizes
from qpi_live.models.errors import EngineUnavailable

FULL, RTX = "tensorrt", "tensorrt_rtx"
INSTALL = (
    "pip install 'qpi-live[gpu,tensorrt]' on the GPU's own machine, or 'qpi-live[tensorrt-rtx]', which builds anywhere "
    "for GeForce, RTX and A100"
)
_log = logging.getLogger(__name__)


def choose_library(gpu: Capability | None, targets: Sequence[Capability]) -> CompilerLibrary:
    """The library to build with: TensorRT where it is installed, else TensorRT for RTX where it supports the targets.

    Args:
        gpu: compute capability of the GPU in this machine; None where there is none.
        targets: compute capabilities to build for.

    Raises:
        EngineUnavailable: none of those that are installed builds for these here.
    """
    full, rtx = _installed(FULL), _installed(RTX)
    if full is not None and list(targets) == [gpu]:
        return full
    if rtx is not None and all(rtx.supports(target) for target in targets):
        return rtx
    asked = ", ".join(text_of(target) for target in targets)
    if full is None and rtx is None:
        raise EngineUnavailable(f"expected TensorRT, got none installed: {INSTALL}")
    if rtx is None:
        raise EngineUnavailable(
            f"expected a GPU of compute capability {asked}, for TensorRT builds for the machine's own GPU only, got "
            f"{text_of(gpu) if gpu else 'no GPU'}; compile on the machine that will run it, or {_command(RTX)}"
        )
    raise EngineUnavailable(
        f"expected compute capabilities that TensorRT for RTX builds for ({', '.join(map(text_of, rtx.targets()))}), "
        f"got {asked}; for others compile on that GPU's machine with TensorRT: {_command(FULL)}"
    )


def library_named(name: str) -> CompilerLibrary:
    """The library that a compiled network was made with.

    Raises:
        EngineUnavailable: it is not installed here.
    """
    library = _installed(name) if name in (FULL, RTX) else None
    if library is None:
        raise EngineUnavailable(
            f"expected {name}, with which the compiled network was made, got none installed: {INSTALL}"
        )
    return library


def text_of(capability: Capability) -> str:
    """`8.9` for (8, 9)."""
    return f"{capability[0]}.{capability[1]}"


class TensorRtLibrary:
    """`CompilerLibrary` over one of the two packages.

    Args:
        package: the module `tensorrt` or `tensorrt_rtx`.
    """

    def __init__(self, package: ModuleType) -> None:
        self._trt: Any = package
        self.name = package.__name__
        self.version = str(package.__version__)
        self.builds_for_other_gpus = self.name == RTX
        self._log = _logger(package)

    def targets(self) -> list[Capability]:
        """The compute capabilities that TensorRT for RTX builds for."""
        names = self._trt.ComputeCapability.__members__ if self.builds_for_other_gpus else ()
        digits = [name.removeprefix("SM") for name in names if name.startswith("SM")]
        return [(int(text[:-1]), int(text[-1])) for text in digits]

    def supports(self, capability: Capability) -> bool:
        """See `CompilerLibrary.supports`."""
        return not self.builds_for_other_gpus or capability in self.targets()

    def build(self, network: bytes, sizes: Sizes, capabilities: Sequence[Capability], on_progress: Progress) -> bytes:
        """See `CompilerLibrary.build`."""
        trt = self._trt
        self._log.complaints.clear()
        builder = self._made(trt.Builder)
        # Types come from the network's file; version 11 knows no other way and ignores the flag.
        definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(definition, self._log)
        if not parser.parse(network):
            reasons = "; ".join(parser.get_error(number).desc() for number in range(parser.num_errors))
            raise EngineUnavailable(f"expected a network that {self.name} reads, got: {reasons or self._log.words()}")
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # it rounds fp32 to 10 bits
        if self.builds_for_other_gpus:
            config.num_compute_capabilities = len(capabilities)
            for index, (major, minor) in enumerate(capabilities):
                config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{major}{minor}"), index)
        if not sizes.is_fixed:
            config.add_optimization_profile(_profile(builder, definition.get_input(0), sizes))
        monitor = _monitor(trt, on_progress)
        config.progress_monitor = monitor
        compiled = builder.build_serialized_network(definition, config)
        if monitor.interrupted:
            raise KeyboardInterrupt
        if compiled is None:
            raise EngineUnavailable(f"expected {self.name} to build the network, got: {self._log.words()}")
        return bytes(compiled)

    def load(self, compiled: bytes) -> Execution:
        """See `CompilerLibrary.load`."""
        self._log.complaints.clear()
        loaded = self._made(self._trt.Runtime).deserialize_cuda_engine(compiled)
        if loaded is None:
            raise EngineUnavailable(
                f"expected a compiled network that {self.name} loads here, got: {self._log.words()}"
            )
        context = loaded.create_execution_context()
        if context is None:
            raise DeviceError(f"expected room for the compiled network on the device, got: {self._log.words()}")
        return TensorRtExecution(self._trt, loaded, context, self._log)

    def _made(self, kind: Any) -> Any:
        try:
            return kind(self._log)
        except TypeError as nothing:  # how the binding says that the library made none
            raise EngineUnavailable(f"expected {self.name} to start, got: {self._log.words()}") from nothing


class TensorRtExecution:
    """`Execution` of a loaded network."""

    keeps_graphs = False

    def __init__(self, package: Any, loaded: Any, context: Any, log: Any) -> None:
        self._loaded = loaded  # must outlive its context
        self._context = context
        self._log = log
        names = [loaded.get_tensor_name(number) for number in range(loaded.num_io_tensors)]
        modes = [loaded.get_tensor_mode(name) for name in names]
        self._grey = names[modes.index(package.TensorIOMode.INPUT)]
        self._phase = names[modes.index(package.TensorIOMode.OUTPUT)]
        self._is_wide = len(loaded.get_tensor_shape(self._grey)) == 3  # 16-bit grey values, as pairs of bytes

    def bind(self, grey: DeviceMemory, phase: DeviceMemory, shape: Shape) -> None:
        """See `Execution.bind`."""
        taken = (*shape, 2) if self._is_wide else shape
        self._require(self._context.set_input_shape(self._grey, taken), f"frames of {shape[0]} × {shape[1]} px")
        self._require(self._context.set_tensor_address(self._grey, grey.pointer), "the frame's memory")
        self._require(self._context.set_tensor_address(self._phase, phase.pointer), "the phase's memory")

    def enqueue(self, stream: Stream) -> None:
        """See `Execution.enqueue`."""
        self._require(self._context.execute_async_v3(stream.handle), "one inference")

    def _require(self, accepted: bool, what: str) -> None:
        if not accepted:
            raise DeviceError(f"expected the compiled network to take {what}, got: {self._log.words()}")


def _installed(name: str) -> TensorRtLibrary | None:
    try:
        return TensorRtLibrary(import_module(name))
    except (ImportError, OSError, RuntimeError) as missing:  # the package without its libraries, too
        _log.debug("%s cannot be used: %s", name, missing)
        return None


def _command(name: str) -> str:
    return f"pip install 'qpi-live[{'gpu,tensorrt' if name == FULL else 'tensorrt-rtx'}]'"


def _profile(builder: Any, grey: Any, sizes: Sizes) -> Any:
    profile = builder.create_optimization_profile()
    pair = (2,) if len(grey.shape) == 3 else ()
    profile.set_shape(grey.name, *((*shape, *pair) for shape in (sizes.smallest, sizes.best, sizes.largest)))
    return profile


def _logger(trt: Any) -> Any:
    """The library's words, for the log, and the last complaints for errors."""
    severity = trt.ILogger.Severity
    levels = {severity.WARNING: logging.DEBUG, severity.INFO: logging.DEBUG, severity.VERBOSE: logging.DEBUG}

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.complaints: list[str] = []

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self.complaints = [*self.complaints[-2:], message.strip()]
            _log.log(levels.get(level, logging.WARNING), "%s", message.strip())

        def words(self) -> str:
            return "; ".join(self.complaints) or "no reason"

    return Log()


def _monitor(trt: Any, on_progress: Progress) -> Any:
    """Phases within phases, called from several threads, as one share from 0 to 1."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._phases: dict[str, list[Any]] = {}  # name: [parent, steps, steps done]
            self._lock = Lock()

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            with self._lock:
                self._phases[name] = [parent, max(steps, 1), 0]

        def step_complete(self, name: str, step: int) -> bool:
            try:
                with self._lock:
                    self._phases[name][2] = step + 1
                    share = self._share(None)
                on_progress(share, name)
            except KeyboardInterrupt:  # must not pass through the library's own frames
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, name: str) -> None:
            with self._lock:
                self._phases.pop(name, None)

        def _share(self, parent: str | None) -> float:
            running = [name for name, (above, _, _) in self._phases.items() if above == parent]
            if not running:
                return 0.0
            _, steps, done = self._phases[running[-1]]
            return float(min(1.0, (done + (self._share(running[-1]) if done < steps else 0)) / steps))

    return Monitor()
