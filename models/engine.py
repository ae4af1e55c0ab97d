"""The `PhaseEngine` protocol, frame in and unwrapped phase out, and the table that opens engines by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from qpi_live.camera.device import Device
from qpi_live.camera.frame import Frame
from qpi_live.camera.gpu.cuda_device import why_no_driver
from qpi_live.camera.optics import Optics
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.phase_frame import EngineIdentity, PhaseFrame
from qpi_live.models.sideband import Sideband


class PhaseEngine(Protocol):
    """Turns frames of one stream into phase frames. One thread at a time calls it."""

    @property
    def identity(self) -> EngineIdentity:
        """Which engine this is."""

    def warm_up(self, shape: tuple[int, int], bit_depth: int) -> None:
        """Do whatever the first frame of this (H, W) would otherwise wait for.

        Raises:
            EngineUnavailable: the engine does not take frames of this size.
        """

    def retrieve(self, frame: Frame) -> PhaseFrame:
        """The unwrapped phase of `frame`, in an array of its own.

        Raises:
            InferenceError: this frame cannot be inverted; the next may.
        """

    def close(self) -> None:
        """Let go of what the engine holds. Doing it twice is harmless."""


@runtime_checkable
class WeighedEngine(Protocol):
    """An engine that says beforehand how much memory it takes."""

    def working_bytes(self, shape: tuple[int, int]) -> int:
        """Host memory that inverting frames of (H, W) takes at most, the engine's own and the phase, in bytes."""


_BYTES_PER_PX_UNSTATED = 320  # the most that any engine here states


def working_bytes(engine: PhaseEngine, shape: tuple[int, int]) -> int:
    """What `engine` says that frames of (H, W) `shape` take, in bytes; a cautious guess where it says nothing."""
    if isinstance(engine, WeighedEngine):
        return engine.working_bytes(shape)
    return _BYTES_PER_PX_UNSTATED * shape[0] * shape[1]


@runtime_checkable
class TunableEngine(Protocol):
    """An engine whose demodulation a user can adjust while it runs. Safe to call from any thread.

    Raises:
        EngineBusy: (from all of them) the frame at hand takes too long to wait for; nothing has changed.
    """

    def refind_carrier(self) -> None:
        """Find the carrier again on the next frame; the sign that was decided for the camera stays."""

    def forget_instrument(self) -> None:
        """Forget carrier and sign: the next frame may come from any instrument."""

    def use_sideband(self, sideband: Sideband) -> None:
        """Take this sideband from the next frame on; the phase's sign flips between upper and lower."""

    def use_calibration(self, frame: Frame | None, *, force: bool = False) -> None:
        """Divide a sample-free interferogram out of every frame from now on; None: fit the background instead.

        It holds for the part of the sensor that it shows, and rests while frames show another one.

        Args:
            frame: the interferogram.
            force: take it even if it has objects in it.

        Raises:
            ValueError: the frame has no carrier, not the stream's shape, or objects in it.
        """


@runtime_checkable
class SignedEngine(Protocol):
    """An engine that decides by what it sees in which sideband cells come out positive."""

    @property
    def decided_signs(self) -> Mapping[str, tuple[float, float]]:
        """By `Frame.source`, a carrier (fy, fx) in cycles per pixel of the sideband that was decided on."""

    def take_signs(self, decided: Mapping[str, tuple[float, float]]) -> None:
        """Keep to what another engine decided; what was decided here already stays. Safe to call from any thread."""


@runtime_checkable
class DeviceEngine(PhaseEngine, Protocol):
    """An engine that works on a compute device, and takes frames that lie there already (`Frame.on_device`)."""

    def open_device(self) -> Device:
        """The device it works on at present, opened again if it was lost. Safe to call from any thread.

        Raises:
            DeviceError: it cannot be had.
        """


class TrainedFor(Protocol):
    """What an engine was trained for."""

    def why_not(self, shape: tuple[int, int], bit_depth: int) -> str | None:
        """Why it cannot take frames of this (H, W) and depth at all, in a sentence; None if it can."""

    def mismatch(self, frame: Frame) -> str | None:
        """How the frame differs from those it was trained for, in a sentence; None if it does not."""


@runtime_checkable
class TrainedEngine(PhaseEngine, Protocol):
    """An engine that was trained, and so is to be trusted on some streams only."""

    @property
    def network(self) -> TrainedFor:
        """What it was trained for."""


CHOSEN, POLYNOMIAL, LEARNED = "auto", "polynomial", "learned"
"""The backgrounds that can be asked for by name."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a user may ask of any engine; an engine ignores what it has no use for.

    Attributes:
        optics: for the band limit of frames that do not state theirs.
        carrier_cycles_per_px: (fy, fx) of the carrier; None: found in the spectrum.
        sideband: see `Sideband`.
        background_order: highest total order of the polynomial background fit, 0 … 6; 0 takes only the level off; None:
            4, and 1 beside a calibration frame, for the tilt by which the instrument has drifted since.
        threads: CPU threads an engine may use; None: all cores it is allowed.
        background: what finds the instrument's phase under the sample: `polynomial`, `learned`, the path of another
            learned background that `qpi export` wrote, or `auto`: the polynomial, and the learned one where that finds
            no ground.
        blend: let the network of the fused engine take noise off the measured phase.
        is_live: frames follow closely on each other, and none may wait for long: what changes slowly is followed from
            frame to frame. Where it is not, each phase depends on its own frame alone, and comes out the same again.
        network: file of the network that `nasprnet`, `fused` and `auto` mean; None: the one that ships.
        learned: file of the background that `learned` means; None: the one that ships.
        network_refusal, learned_refusal: why the one that is meant cannot be had, which refuses those who use it, and
            nobody else; "" where it can.
    """

    optics: Optics | None = None
    carrier_cycles_per_px: tuple[float, float] | None = None
    sideband: Sideband = Sideband.AUTO
    background_order: int | None = None
    threads: int | None = None
    background: str = CHOSEN
    blend: bool = False
    is_live: bool = False
    network: Path | None = None
    learned: Path | None = None
    network_refusal: str = ""
    learned_refusal: str = ""


_ADAPTERS = {
    "auto": "qpi_live.models.engines.auto:AutoEngine",
    "goldstein": "qpi_live.models.engines.classical:ClassicalEngine",
    "goldstein-cuda": "qpi_live.models.engines.classical_cuda:ClassicalCudaEngine",
    "nasprnet": "qpi_live.models.engines.onnx:OnnxEngine",
    "fused": "qpi_live.models.engines.fused:FusedEngine",
}
_FROM_FILE = {
    ".onnx": "qpi_live.models.engines.onnx:OnnxEngine",
    ".trt": "qpi_live.models.engines.tensorrt:TensorRtEngine",
}
_COMPILED = ".trt"


def engine_names() -> tuple[str, ...]:
    """The engines that can be asked for by name."""
    return tuple(_ADAPTERS)


def why_not_here(name: str, *, may_be_file: bool = False) -> str | None:
    """Why `open_engine` refuses `name`, as far as that can be told without loading an engine; None: it may open.

    There is none of that name, or no such file.
    """
    file = Path(name)
    if not (may_be_file and file.suffix in _FROM_FILE):
        or_file = " or the path of a network (.onnx, .trt)" if may_be_file else ""
        among = ", ".join(_ADAPTERS)
        return None if name in _ADAPTERS else f"expected an engine among {among}{or_file}, got {name!r}"
    if file.is_file():
        return None
    if file.suffix == _COMPILED:
        return f"expected a compiled network at {file}, got no such file; build one: qpi compile MODEL.onnx -o {file}"
    return f"expected a network at {file}, got no such file; `qpi export` writes one"


def why_not_at_once(name: str) -> str | None:
    """Why `name`, or the compiled network in the file of that name, cannot be opened here, told in milliseconds.

    As `why_not_here`, or there is no driver for the GPU that it needs. None: it may open.
    """
    why_not = why_not_here(name, may_be_file=True)
    if why_not is None and Path(name).suffix == _COMPILED and (why_none := why_no_driver()):
        return f"{Path(name).name} needs a GPU: {why_none}"
    if why_not is None and name == "goldstein-cuda" and (why_none := why_no_driver()):
        return f"expected a GPU for the engine {name}, got none: {why_none}"
    return why_not


def open_engine(name: str, options: EngineOptions, *, may_be_file: bool = False) -> PhaseEngine:
    """The engine called `name`.

    Args:
        name: one of `engine_names()`.
        options: see `EngineOptions`.
        may_be_file: whether `name` may also be the path of a network that `qpi export` or `qpi compile` wrote. Only for
            whoever starts the program; what comes over the network must not name files.

    Raises:
        EngineUnavailable: there is none of that name, or it cannot be made here.
    """
    why_not = why_not_here(name, may_be_file=may_be_file)
    if why_not:
        raise EngineUnavailable(why_not)
    file = Path(name)
    is_file = may_be_file and file.suffix in _FROM_FILE
    module, _, attribute = (_FROM_FILE[file.suffix] if is_file else _ADAPTERS[name]).partition(":")
    try:
        adapter: Callable[..., PhaseEngine] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as missing:
        raise EngineUnavailable(f"engine {name!r} needs the package {missing.name!r}: reinstall qpi-live") from missing
    return adapter(options, file) if is_file else adapter(options)
