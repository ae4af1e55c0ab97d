"""Compiles CUDA C++ for a GPU, which need not be in this machine. The only file that imports NVRTC."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from cuda.bindings import nvrtc
from qpi_live.camera.device import DeviceError, DeviceUnavailable
from qpi_live.camera.whole_file import whole_file

# Products and sums are rounded one by one, as NumPy and Numba do, so that both chains decide alike. The kernels wait
# for memory, not for arithmetic, and lose nothing by it.
_OPTIONS = ("--std=c++17", "--fmad=false")
_log = logging.getLogger(__name__)


def compile_cubin(
    source: Path, compute_capability: tuple[int, int], constants: Mapping[str, int] | None = None
) -> bytes:
    """The machine code of a `.cu` file, from this user's cache if it was compiled before.

    A driver takes machine code of any NVRTC of its own major version. It takes PTX only of those that are not newer
    than itself.

    Args:
        source: the file; it may include `.cuh` files of its own folder.
        compute_capability: (major, minor) of the GPU.
        constants: macros to define.

    Raises:
        DeviceUnavailable: NVRTC is not installed.
        DeviceError: the source does not compile, which the text says in the compiler's words, or NVRTC is older than
            the GPU.
    """
    version = _version()
    text = source.read_text(encoding="utf-8")
    headers = [header.read_text(encoding="utf-8") for header in sorted(source.parent.glob("*.cuh"))]
    options = [
        f"--gpu-architecture=sm_{_nearest_architecture(compute_capability)}",
        *_OPTIONS,
        *(f"--define-macro={name}={value}" for name, value in sorted((constants or {}).items())),
    ]
    key = hashlib.sha256("\0".join([version, *options, text, *headers]).encode()).hexdigest()[:32]
    kept = Path(platformdirs.user_cache_dir("qpi-live")) / "kernels" / f"{source.stem}-{key}.cubin"
    try:
        return kept.read_bytes()
    except OSError:
        cubin = _compile(source, text, [*options, f"--include-path={source.parent}"])
    _keep(kept, cubin)
    return cubin


def _version() -> str:
    try:
        major, minor = _done(nvrtc.nvrtcVersion())
    except RuntimeError as error:  # the binding loads the library on the first call
        raise DeviceUnavailable(
            f"expected NVIDIA's compiler library NVRTC, got: {error}; pip install 'qpi-live[gpu]'"
        ) from error
    return f"NVRTC {major}.{minor}"


def _nearest_architecture(compute_capability: tuple[int, int]) -> int:
    """The newest architecture that NVRTC knows and the GPU runs: of its own major version and not above its minor."""
    major, minor = compute_capability
    (known,) = _done(nvrtc.nvrtcGetSupportedArchs())
    runs = [architecture for architecture in known if architecture // 10 == major and architecture % 10 <= minor]
    if not runs:
        raise DeviceError(
            f"expected a GPU that {_version()} compiles for ({', '.join(f'{a // 10}.{a % 10}' for a in known)}), got "
            f"compute capability {major}.{minor}: pip install --upgrade nvidia-cuda-nvrtc cuda-bindings, "
            "or an older version of both for an older GPU"
        )
    return int(max(runs))


def _compile(source: Path, text: str, options: list[str]) -> bytes:
    (program,) = _done(nvrtc.nvrtcCreateProgram(text.encode(), source.name.encode(), 0, [], []))
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            log = bytearray(_done(nvrtc.nvrtcGetProgramLogSize(program))[0])
            _done(nvrtc.nvrtcGetProgramLog(program, log))
            words = log.rstrip(b"\0\n").decode(errors="replace")
            raise DeviceError(
                f"expected {source.name} to compile with {' '.join(options)}, got {status.name}:\n{words}"
            )
        cubin = bytearray(_done(nvrtc.nvrtcGetCUBINSize(program))[0])
        _done(nvrtc.nvrtcGetCUBIN(program, cubin))
        return bytes(cubin)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _done(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """What NVRTC answered behind its status.

    Raises:
        DeviceError: the status is not success.
    """
    status, *values = answer
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise DeviceError(f"expected NVRTC to succeed, got {status.name}")
    return tuple(values)


def _keep(path: Path, cubin: bytes) -> None:
    """Put it where the next start finds it; a cache that cannot be written costs only time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as written:
            written.write_bytes(cubin)
    except OSError as error:
        _log.info("compiled kernels are not kept: %s", error)
