"""CUDA C++ becomes machine code for a GPU that is not here, once, or the compiler's own words."""

from pathlib import Path

import pytest
from qpi_live.camera.device import DeviceError

pytest.importorskip("cuda.bindings.nvrtc", reason="needs NVRTC: pip install 'qpi-live[gpu]'")

from qpi_live.camera.gpu import nvrtc

SOURCE = '#include "scale.cuh"\nextern "C" __global__ void scale(float* x) { x[threadIdx.x] *= FACTOR * by(); }\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(nvrtc.platformdirs, "user_cache_dir", lambda _name: str(tmp_path / "cache"))
    (tmp_path / "scale.cuh").write_text("__device__ float by() { return 1.5f; }\n")
    path = tmp_path / "scale.cu"
    path.write_text(SOURCE)
    return path


def test_compile_cubin_gives_machine_code_for_the_architecture(source: Path) -> None:
    assert nvrtc.compile_cubin(source, (9, 0), {"FACTOR": 3}).startswith(b"\x7fELF")


def test_compile_cubin_of_an_unchanged_source_is_read_from_the_cache(source: Path, tmp_path: Path) -> None:
    nvrtc.compile_cubin(source, (8, 6), {"FACTOR": 3})
    (kept,) = (tmp_path / "cache" / "kernels").iterdir()
    kept.write_bytes(b"kept")
    assert nvrtc.compile_cubin(source, (8, 6), {"FACTOR": 3}) == b"kept"


def test_compile_cubin_of_changed_macros_header_or_architecture_compiles_anew(source: Path, tmp_path: Path) -> None:
    nvrtc.compile_cubin(source, (8, 6), {"FACTOR": 3})
    nvrtc.compile_cubin(source, (8, 6), {"FACTOR": 4})
    nvrtc.compile_cubin(source, (8, 9), {"FACTOR": 4})
    (tmp_path / "scale.cuh").write_text("__device__ float by() { return 2.5f; }\n")
    nvrtc.compile_cubin(source, (8, 9), {"FACTOR": 4})
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 4


def test_compile_cubin_where_the_cache_cannot_be_written_still_compiles(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert nvrtc.compile_cubin(source, (8, 6), {"FACTOR": 3}).startswith(b"\x7fELF")


def test_compile_cubin_of_a_minor_version_that_is_unknown_takes_the_nearest_that_runs(source: Path) -> None:
    constants = {"FACTOR": 3}
    assert nvrtc.compile_cubin(source, (8, 99), constants) == nvrtc.compile_cubin(source, (8, 9), constants)


def test_compile_cubin_of_a_faulty_source_says_so_in_the_compilers_words(source: Path) -> None:
    with pytest.raises(DeviceError, match=r"expected scale.cu to compile[\s\S]*identifier .FACTOR. is undefined"):
        nvrtc.compile_cubin(source, (9, 0))


def test_compile_cubin_for_a_gpu_newer_than_the_compiler_says_what_to_install(source: Path) -> None:
    with pytest.raises(DeviceError, match=r"got compute capability 99\.0: pip install --upgrade nvidia-cuda-nvrtc"):
        nvrtc.compile_cubin(source, (99, 0), {"FACTOR": 3})
