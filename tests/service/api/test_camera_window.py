"""The camera's window over REST and from Python, on the real virtual camera through the real line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.source import CameraOptions
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.station import Station

from tests.fakes import FakeEngine


@pytest.fixture
def url(
    virtual_producer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_station: Callable[..., Station],
    serve: Callable[[Station], str],
) -> str:
    monkeypatch.setenv("VIRTUAL_GENTL_BUS", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_GENTL_SENSOR", "256x200")
    camera = GenicamCamera.open(f"{virtual_producer}#VC0000", CameraOptions(frame_rate_hz=50))
    return serve(make_station(camera, FakeEngine()))


def put(url: str, change: dict[str, Any]) -> tuple[int, Any]:
    answer = httpx.put(f"{url}/api/v1/camera/window", json=change, timeout=60)
    return answer.status_code, answer.json()


def first_of(client: PhaseClient, shape: tuple[int, int]) -> Any:
    """The first live frame of this shape."""
    for number, frame in enumerate(client.frames(wait_s=30)):
        if frame.values.shape == shape:
            return frame
        assert number < 300, f"no such frame came, but of {frame.values.shape}"
    pytest.fail("the stream ended")


def test_client_sets_window_binning_and_format_while_frames_flow(url: str) -> None:
    with PhaseClient(url, timeout_s=60) as client:
        before = first_of(client, (200, 256))
        assert client.camera.window()["full_height"] == 200
        window = client.camera.set_window(20, 42, 64, 96)
        assert (window["y"], window["x"], window["height"], window["width"]) == (20, 40, 64, 100)
        after = first_of(client, (64, 100))
        assert after.header.epoch > before.header.epoch
        assert client.camera.set_binning(2)["binning"] == [2, 2]
        first_of(client, (32, 52))  # columns go in steps of 4
        assert client.camera.set_pixel_format("Mono12p")["pixel_format"] == "Mono12p"
        assert client.camera.describe()["camera"]["bit_depth"] == 12
        assert client.camera.full_chip()["height"] == 100
        first_of(client, (100, 128))
        assert not client.camera.describe()["paused"]
        with pytest.raises(ServiceError, match="expected a window inside of 100 × 128"):
            client.camera.set_window(90, 0, 64, 96)
        first_of(client, (100, 128))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "expected an area, full, binning or pixel_format, got none of them"),
        ({"y": 0, "x": 0}, "expected y, x, height and width together"),
        ({"full": True, "y": 0, "x": 0, "height": 32, "width": 32}, "either an area or the full chip"),
        ({"binning": 7}, "expected a binning among 1, 2, 3, 4, got 7"),
        ({"pixel_format": "RGB8"}, "expected a pixel format among"),
        ({"y": 0, "x": 0, "height": 4, "width": 32}, "of at least 16 × 16"),
        ({"y": -1, "x": 0, "height": 40, "width": 32}, "greater than or equal to 0"),
    ],
)
def test_window_that_cannot_be_is_refused_with_a_sentence_and_changes_nothing(
    url: str, change: dict[str, Any], sentence: str
) -> None:
    before = httpx.get(f"{url}/api/v1/camera/window", timeout=60).json()
    status, answer = put(url, change)
    assert status == 422
    assert sentence in answer["detail"]
    assert httpx.get(f"{url}/api/v1/camera/window", timeout=60).json() == before
