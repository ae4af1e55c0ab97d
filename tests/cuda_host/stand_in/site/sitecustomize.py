"""Python runs this first where the folder is on its path: a module for the stand-in is its host kernels' library.

Torch has no such GPU and runs on the host. The modules' imports are waited for, so that a Python that never meets a GPU
starts as fast as before.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder


def _use_host_kernels(module):
    from tests.cuda_host.kernels import library_of

    def compile_cubin(source, compute_capability, constants=None):
        return str(library_of(source, constants or {})).encode() + b"\0"

    module.compile_cubin = compile_cubin


def _use_stand_in(module):
    import ctypes

    def load_cufft():
        library = ctypes.CDLL(os.environ["QPI_STAND_IN_DRIVER"])
        library.cufftExecR2C.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        library.cufftExecC2C.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        library.cufftSetStream.argtypes = [ctypes.c_int, ctypes.c_void_p]
        return library

    module.load_cufft = load_cufft


def _run_torch_on_host(module):
    module.ON_HOST = True


_PATCHES = {
    "qpi_live.camera.gpu.nvrtc": _use_host_kernels,
    "qpi_live.camera.gpu.cufft": _use_stand_in,
    "qpi_live.bench.timing.torch_engine": _run_torch_on_host,
}


class _Finder(MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname not in _PATCHES:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            _PATCHES[fullname](module)

        spec.loader.exec_module = exec_module
        return spec


if "QPI_STAND_IN_DRIVER" in os.environ:
    sys.setdlopenflags(os.RTLD_LAZY)  # PyCUDA is linked to more of the driver than the line calls
    sys.meta_path.insert(0, _Finder())
