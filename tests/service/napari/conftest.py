"""A real napari on a screen, and a service with phase to show."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.served import Service, free_port

SIZE = 256


@pytest.fixture
def viewer() -> Iterator[Any]:
    napari = pytest.importorskip("napari", reason="needs napari: pip install 'qpi-live[napari]'")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        pytest.skip("needs a screen: make test-integrations gives it a virtual one")
    viewer = napari.Viewer(show=False)
    yield viewer
    viewer.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    pytest.importorskip("napari", reason="needs napari: pip install 'qpi-live[napari]'")
    state = tmp_path_factory.mktemp("state")
    options = (
        *("--camera", "simulated", "--engine", "goldstein", "--size", str(SIZE), "--fps", "50"),
        *("--recordings", str(state / "recordings")),
    )
    service = Service(free_port(), options, Path(state))
    service.start()
    yield service
    service.stop()
