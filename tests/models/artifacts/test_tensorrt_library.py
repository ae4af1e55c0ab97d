"""The adapter's few calls that need a GPU, on a stand-in for the vendor's package that keeps what it is told."""

from enum import IntEnum
from types import SimpleNamespace

import pytest
from qpi_live.camera.device import DeviceError
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.artifacts.tensorrt_library import TensorRtLibrary, library_named
from qpi_live.models.errors import EngineUnavailable

from tests.onnx_library import host_gpu


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity


class Mode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class Context:
    """An execution context that takes all it is given while `accepts`."""

    accepts = True

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.told.append(("shape", name, shape))
        return self.accepts

    def set_tensor_address(self, name: str, pointer: int) -> bool:
        self.told.append(("address", name, pointer))
        return self.accepts

    def execute_async_v3(self, handle: int) -> bool:
        self.told.append(("run", handle))
        return self.accepts


class Engine:
    """An engine with a phase and an interferogram, in this order."""

    num_io_tensors = 2

    def __init__(self, shape: tuple[int, ...], context: Context | None) -> None:
        self._shape = shape
        self._context = context

    def get_tensor_name(self, number: int) -> str:
        return ("phase_rad", "interferogram")[number]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == "interferogram" else Mode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shape

    def create_execution_context(self) -> Context | None:
        return self._context


def package(engine: Engine | None, complaint: str = "") -> SimpleNamespace:
    """A stand-in for `tensorrt` whose runtime gives `engine`, and where it gives none, complains."""

    class Runtime:
        def __init__(self, log: ILogger) -> None:
            self._log = log

        def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
            if complaint:
                self._log.log(Severity.ERROR, complaint)
            return engine

    return SimpleNamespace(
        __name__="tensorrt", __version__="11.4.0", ILogger=ILogger, Runtime=Runtime, TensorIOMode=Mode
    )


def test_load_of_an_engine_the_library_refuses_hands_on_its_words() -> None:
    library = TensorRtLibrary(package(None, "Version tag does not match"))
    with pytest.raises(
        EngineUnavailable, match="expected a compiled network that tensorrt loads here, got: Version tag does"
    ):
        library.load(b"engine")


def test_load_without_room_for_a_context_is_the_devices_failure() -> None:
    library = TensorRtLibrary(package(Engine((96, 128), None), "out of memory"))
    with pytest.raises(DeviceError, match="expected room for the compiled network on the device, got: out of memory"):
        library.load(b"engine")


@pytest.mark.parametrize(("built", "taken"), [((-1, -1), (96, 128)), ((-1, -1, 2), (96, 128, 2))])
def test_execution_is_bound_to_shape_and_addresses_and_enqueued_on_the_stream(
    built: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    device, context = host_gpu(), Context()
    grey, phase, stream = device.allocate(96 * 128 * 2), device.allocate(96 * 128 * 4), device.stream()
    execution = TensorRtLibrary(package(Engine(built, context))).load(b"engine")
    execution.bind(grey, phase, (96, 128))
    execution.enqueue(stream)
    assert context.told == [
        ("shape", "interferogram", taken),
        ("address", "interferogram", grey.pointer),
        ("address", "phase_rad", phase.pointer),
        ("run", stream.handle),
    ]


def test_execution_that_the_library_refuses_says_what_it_was_asked_to_take() -> None:
    device, context = host_gpu(), Context()
    context.accepts = False
    execution = TensorRtLibrary(package(Engine((96, 128), context))).load(b"engine")
    with pytest.raises(DeviceError, match="expected the compiled network to take frames of 64 × 64 px, got: no reason"):
        execution.bind(device.allocate(4096), device.allocate(16384), (64, 64))
    with pytest.raises(DeviceError, match="expected the compiled network to take one inference"):
        execution.enqueue(device.stream())


def test_build_takes_the_types_of_the_network_and_tells_the_share_that_is_done() -> None:
    flags: list[int] = []

    class Builder:
        def __init__(self, log: ILogger) -> None:
            pass

        def create_network(self, given: int) -> None:
            flags.append(given)

        def create_builder_config(self) -> SimpleNamespace:
            return SimpleNamespace(clear_flag=lambda flag: None)

        def build_serialized_network(self, network: None, config: SimpleNamespace) -> bytes:
            config.progress_monitor.phase_start("building", None, 2)
            config.progress_monitor.phase_start("timing", "building", 4)
            config.progress_monitor.step_complete("timing", 1)
            config.progress_monitor.phase_finish("timing")
            config.progress_monitor.step_complete("building", 1)
            return b"engine"

    trt = package(None)
    trt.Builder = Builder
    trt.OnnxParser = lambda network, log: SimpleNamespace(parse=lambda content: True)
    trt.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    trt.BuilderFlag = SimpleNamespace(TF32=7)
    trt.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})
    shares: list[tuple[float, str]] = []
    size = Sizes.parse("96x128")
    assert TensorRtLibrary(trt).build(b"network", size, [(9, 0)], lambda *told: shares.append(told)) == b"engine"
    assert flags == [2]
    assert shares == [(0.25, "timing"), (1.0, "building")]


def test_library_that_does_not_start_says_why() -> None:
    def nothing(log: ILogger) -> None:
        log.log(Severity.ERROR, "CUDA driver version is insufficient")
        raise TypeError("factory function returned nullptr")

    trt = package(None)
    trt.Runtime = nothing
    with pytest.raises(EngineUnavailable, match="expected tensorrt to start, got: CUDA driver version"):
        TensorRtLibrary(trt).load(b"engine")


def test_library_named_by_a_manifest_is_none_but_the_two() -> None:
    with pytest.raises(
        EngineUnavailable, match="expected os, with which the compiled network was made, got none installed"
    ):
        library_named("os")
