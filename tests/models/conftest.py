"""Devices for tests of what runs on one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qpi_live.camera.device import Device, DeviceUnavailable
from qpi_live.camera.gpu.cuda_device import open_device

from tests.cuda_host.device import HostDevice
from tests.cuda_host.kernels import needs_compiler


@pytest.fixture(params=["host", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The kernels' own source on the host, and the real device where there is one."""
    if request.param == "cuda":
        try:
            yield open_device()
        except DeviceUnavailable as missing:
            pytest.skip(str(missing))
        return
    needs_compiler()
    host = HostDevice()
    yield host
    assert host.allocated_bytes == 0, "device memory was not given back"
    host.close()
