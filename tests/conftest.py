"""Producers for GenICam cameras: the project's own, built here, and the one inside the genicam wheel."""

from pathlib import Path

import pytest

from camera.virtual_gentl.build import BuildError, build


@pytest.fixture(scope="session")
def virtual_producer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual camera's .cti, freshly compiled."""
    pytest.importorskip("harvesters", reason="needs harvesters: pip install 'qpi-live[camera]'")
    try:
        return build(tmp_path_factory.mktemp("producer") / "virtual-camera.cti")
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def viky_producer() -> Path:
    """A third party's producer of three small cameras, which comes with the binding."""
    genicam = pytest.importorskip("genicam", reason="needs genicam: pip install 'qpi-live[camera]'")
    return Path(genicam.__file__).parent / "viky.cti"
