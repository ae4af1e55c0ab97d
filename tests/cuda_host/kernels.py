"""CUDA kernels compiled for the host, with the checks that a driver leaves out."""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest
from qpi_live.camera.device import (
    DeviceError,
    Dim3,
    Kernel,
    KernelArgument,
)

from tests.cuda_host.memory import HostMemory

_SHIM = Path(__file__).parent / "cuda_on_host.h"
_FLAGS = ("-x", "c++", "-std=c++17", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing")
_QUIET_FLAGS = (
    "-fno-math-errno",
    "-U_FORTIFY_SOURCE",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-sign-compare",
    "-pthread",
)


def needs_compiler() -> None:
    """Skip the test where there is no C++ compiler."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++ to run CUDA kernels on the host")


class HostKernel:
    """A compiled kernel and the kinds of its arguments."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name = name
        self._launch = getattr(library, f"launch_{name}")
        count = ctypes.c_uint.in_dll(library, f"count_{name}").value
        self._kinds = list((ctypes.c_uint * count).in_dll(library, f"kinds_{name}")) if count else []

    def prepare(
        self, grid: Dim3, block: Dim3, arguments: tuple[KernelArgument, ...], order: int, threads: int
    ) -> Callable[[], None]:
        """Check what a driver would not, and give the call that runs the grid."""
        if len(arguments) != len(self._kinds):
            raise DeviceError(f"{self.name}: expected {len(self._kinds)} arguments, got {len(arguments)}")
        if np.prod(block) > 1024 or min(*grid, *block) < 1 or max(grid[1:]) > 65535:
            raise DeviceError(f"{self.name}: no device takes a grid of {grid} with blocks of {block}")
        for number, (kind, argument) in enumerate(zip(self._kinds, arguments, strict=True)):
            if _kind(argument) != kind:
                raise DeviceError(f"{self.name}: argument {number} is {type(argument).__name__}, which is not its type")
        values = [_value(argument) for argument in arguments]
        addresses = (ctypes.c_void_p * max(len(values), 1))(*[ctypes.addressof(value) for value in values])
        dims = (ctypes.c_uint * 6)(*grid, *block)

        def run() -> None:
            for argument in arguments:
                if isinstance(argument, HostMemory):
                    _ = argument.pointer  # freed meanwhile?
            _ = values  # must outlive the call
            self._launch(dims, order, threads, addresses)

        return run


def _kind(argument: KernelArgument) -> int:
    """The argument's size and what it is, as the generated wrapper states the kernel's."""
    if isinstance(argument, HostMemory):
        return ord("p") << 8 | 8
    if not isinstance(argument, np.generic):
        return 0
    return ord("f" if argument.dtype.kind == "f" else "i") << 8 | argument.dtype.itemsize


def _value(argument: KernelArgument) -> Any:
    if isinstance(argument, HostMemory):
        return ctypes.c_uint64(argument.pointer)
    assert isinstance(argument, np.generic)
    return (ctypes.c_char * argument.dtype.itemsize).from_buffer_copy(argument.tobytes())


def load(source: Path, constants: Mapping[str, int]) -> Mapping[str, Kernel]:
    """The kernels of `source`."""
    loaded = ctypes.CDLL(str(library_of(source, constants)))
    return {name: HostKernel(name, loaded) for name in _names_in(source)}


def _names_in(source: Path) -> list[str]:
    return re.findall(r'extern "C" __global__ void (?:__launch_bounds__\(\w+\)\s+)?(\w+)', source.read_text())


def library_of(source: Path, constants: Mapping[str, int]) -> Path:
    """`source` compiled with a launcher for each kernel, unless that was done before."""
    names = _names_in(source)
    wrapper = f'#include "{source}"\n' + "".join(
        f'extern "C" {{ unsigned count_{name} = host::kinds({name}).size() - 1;\n'
        f"decltype(host::kinds({name})) kinds_{name} = host::kinds({name});\n"
        f"void launch_{name}(const unsigned* dims, int order, int threads, void** arguments)"
        f" {{ host::launch({name}, dims, order, threads, arguments); }} }}\n"
        for name in names
    )
    macros = [f"-D{name}={value}" for name, value in sorted(constants.items())]
    texts = [wrapper, *macros, *_FLAGS, *_QUIET_FLAGS, _SHIM.read_text(), source.read_text()]
    texts += [header.read_text() for header in sorted(source.parent.glob("*.cuh"))]
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
    folder = Path(platformdirs.user_cache_dir("qpi-live")) / "host-kernels"
    library = folder / f"{source.stem}-{key}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(wrapper, macros, source, library)
    return library


def _compile(wrapper: str, macros: list[str], source: Path, library: Path) -> None:
    half_done = library.with_name(f"{library.stem}-{time.monotonic_ns()}.part")
    command = ["g++", *_FLAGS, *_QUIET_FLAGS, *macros, f"-I{source.parent}", "-include", str(_SHIM), "-"]
    done = subprocess.run(
        [*command, "-o", str(half_done)], input=wrapper, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise DeviceError(f"{source.name} does not compile: {done.stderr}")
    half_done.replace(library)
