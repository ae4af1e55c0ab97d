"""The kernels compile for every GPU that is served; running them is tested beside what they compute."""

from pathlib import Path

import pytest
from qpi_live.models.classical.cuda import kernel_set

pytest.importorskip("cuda.bindings.nvrtc", reason="needs NVRTC: pip install 'qpi-live[gpu]'")

SOURCES = sorted(Path(kernel_set.__file__).parent.glob("*.cu"))


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_kernels_compile_for_the_architecture(source: Path, capability: tuple[int, int]) -> None:
    from qpi_live.camera.gpu.nvrtc import compile_cubin

    assert compile_cubin(source, capability).startswith(b"\x7fELF")


def test_kernels_are_all_looked_for() -> None:
    assert len(SOURCES) == 5
