"""Live phase in a real napari window."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qpi_live import PhaseClient, ReceivedFrame
from tests.service.napari.conftest import SIZE
from tests.service.napari.window import until
from tests.service.served import Service, free_port

ENDS_WITHOUT_A_STOP = """
import atexit, threading
# The last that is called before Python ends.
atexit.register(lambda: print("threads left:", [each.name for each in threading.enumerate() if "qpi" in each.name]))
import sys
import napari
from qpi_live import PhaseClient
from qpi_live.service.napari.live_layer import LiveLayer
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer()
live = LiveLayer(viewer, PhaseClient(sys.argv[1]))
live.shown.connect(lambda _: QApplication.quit())
live.start()
napari.run()
"""


@pytest.fixture
def client(service: Service) -> Iterator[PhaseClient]:
    with PhaseClient(service.url) as client:
        yield client


def watch(
    viewer: Any, client: PhaseClient, frames: int, wanted: str = "phase", **options: Any
) -> tuple[Any, list[Any]]:
    """A live layer that has shown so many frames and goes on, and their sequence numbers."""
    from qpi_live.service.napari.live_layer import LiveLayer

    shown: list[int] = []
    live = LiveLayer(viewer, client, wanted, **options)
    live.shown.connect(lambda frame: shown.append(frame.sequence))
    live.start()
    until(lambda: len(shown) >= frames, f"{frames} frames of {wanted}")
    return live, shown


def test_live_layer_shows_every_newer_frame_with_scale_and_units(viewer: Any, client: PhaseClient) -> None:
    live, shown = watch(viewer, client, 5)
    (layer,) = viewer.layers
    assert shown == sorted(set(shown))
    assert layer.name == "phase (rad), live"
    assert layer.data.shape == (SIZE, SIZE)
    assert layer.data.dtype == np.float32
    header = client.latest().header
    assert header.object_pixel_m is not None
    assert layer.scale == pytest.approx([header.object_pixel_m * 1e6] * 2)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.metadata["qpi_frame"]["sequence"] == shown[-1]
    assert viewer.canvas.overlays.scale_bar.visible
    live.stop()
    assert live.wait(10)


def test_live_layer_of_blocks_keeps_the_size_of_the_field(viewer: Any, client: PhaseClient) -> None:
    live, _ = watch(viewer, client, 1, downscale=2)
    header = client.latest().header
    assert header.object_pixel_m is not None
    assert live.layer.data.shape == (SIZE // 2, SIZE // 2)
    assert live.layer.scale == pytest.approx([header.object_pixel_m * 2e6] * 2)
    live.stop()
    assert live.wait(10)


def test_live_layer_holds_one_frame_however_many_came(viewer: Any, client: PhaseClient) -> None:
    live, _ = watch(viewer, client, 40)
    gc.collect()
    held = [each for each in gc.get_objects() if isinstance(each, ReceivedFrame)]
    assert len(held) <= 3  # in the layer, on its way, and the one that the thread holds
    live.stop()
    assert live.wait(10)


def test_live_layer_leaves_a_frame_that_somebody_took_as_it_was(viewer: Any, client: PhaseClient) -> None:
    live, shown = watch(viewer, client, 1)
    taken = live.layer.data
    before = np.array(taken)
    until(lambda: len(shown) >= 6, "more frames")
    assert live.layer.data is not taken
    assert np.array_equal(taken, before)
    live.stop()
    assert live.wait(10)


@pytest.mark.parametrize(("announced_s", "told"), [(1e9, 0), (0.0, 30)])
def test_live_layer_is_drawn_each_time_and_announced_now_and_then(
    viewer: Any, client: PhaseClient, monkeypatch: pytest.MonkeyPatch, announced_s: float, told: int
) -> None:
    from qpi_live.service.napari import live_layer
    from qtpy.QtOpenGLWidgets import QOpenGLWidget
    from qtpy.QtWidgets import QApplication

    monkeypatch.setattr(live_layer, "_ANNOUNCED_S", announced_s)
    viewer.show()
    live, shown = watch(viewer, client, 2)
    (canvas,) = (each for each in QApplication.allWidgets() if isinstance(each, QOpenGLWidget) and each.isVisible())
    heard: list[str] = []
    drawn: list[int] = []
    viewer.layers.events.connect(lambda event: heard.append(event.type))
    canvas.frameSwapped.connect(lambda: drawn.append(shown[-1]))
    shown.clear()
    shown.append(-1)
    until(lambda: len(shown) > 30, "30 frames")
    live.stop()
    assert live.wait(10)
    assert heard.count("set_data") >= told
    assert bool(heard) is bool(told)
    assert len(set(drawn)) > 10


def test_live_layer_of_a_script_that_just_ends_says_goodbye_while_python_runs(service: Service) -> None:
    pytest.importorskip("napari")
    command = [sys.executable, "-c", ENDS_WITHOUT_A_STOP, service.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "threads left: []\n"), done.stderr


def test_live_layer_that_was_stopped_goes_on_in_its_own_layer(viewer: Any, client: PhaseClient) -> None:
    live, shown = watch(viewer, client, 2)
    live.stop()
    assert live.wait(10)
    last = shown[-1]
    viewer.layers[0].contrast_limits = (-1.0, 2.0)
    again, shown = watch(viewer, client, 2)
    assert len(viewer.layers) == 1
    assert viewer.layers[0].contrast_limits == [-1.0, 2.0]
    assert shown[0] > last
    again.stop()
    assert again.wait(10)


def test_live_layer_that_a_person_deletes_lets_go_of_the_service(viewer: Any, client: PhaseClient) -> None:
    live, _ = watch(viewer, client, 2)
    viewer.layers.clear()
    assert live.wait(10)
    assert len(viewer.layers) == 0


def test_live_layer_whose_layer_the_service_lacks_says_why(viewer: Any, client: PhaseClient) -> None:
    from qpi_live.service.napari.live_layer import LiveLayer

    said: list[str] = []
    live = LiveLayer(viewer, client, "phases")
    live.ended.connect(said.append)
    live.start()
    until(lambda: said, "a sentence")
    assert said[0].startswith("layer: ")


def test_two_windows_show_the_same_service_each_at_its_own_pace(viewer: Any, client: PhaseClient) -> None:
    import napari

    other = napari.Viewer(show=False)
    live, _ = watch(viewer, client, 2)
    beside, seen = watch(other, client, 3, "interferogram", max_fps=5.0)
    assert [layer.name for layer in viewer.layers] == ["phase (rad), live"]
    assert [layer.name for layer in other.layers] == ["interferogram (grey value), live"]
    beside.stop()
    assert beside.wait(10)
    other.close()
    before = live.layer.data
    until(lambda: live.layer.data is not before, "frames in the window that is left")
    live.stop()
    assert live.wait(10)
    assert len(seen) >= 3


def test_live_layer_of_a_camera_among_several_goes_on_when_its_service_was_started_anew(
    viewer: Any, tmp_path: Path
) -> None:
    cameras = ("--camera", "simulated", "--camera", "replay:glioblastoma")
    options = (*cameras, "--engine", "goldstein", "--size", "128", "--fps", "20", "--token", "let-me-in-please")
    service = Service(free_port(), options, tmp_path, token="let-me-in-please")
    service.start()
    try:
        link = f"{service.url}/?token=let-me-in-please"
        with PhaseClient(link) as asking:
            names = [camera["name"] for camera in asking.cameras()]
        with PhaseClient(link, camera=names[1]) as client:
            live, shown = watch(viewer, client, 3)
            assert client.latest().header.object_pixel_m is None  # unlike the simulated camera's
            assert [str(unit) for unit in live.layer.units] == ["pixel", "pixel"]
            service.stop()
            shown.clear()
            service.start()
            until(lambda: len(shown) >= 2, "frames of the service that was started anew")
            assert len(viewer.layers) == 1
            live.stop()
            assert live.wait(10)
    finally:
        service.stop()


def test_script_of_the_documentation_shows_live_phase(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    napari = pytest.importorskip("napari")
    page = (Path(__file__).parents[3] / "docs" / "programs.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(import napari.*?)```", page, flags=re.DOTALL)
    names: dict[str, Any] = {}

    def run() -> None:  # what a person does: looks, and closes the window
        until(lambda: names["live"].layer is not None, "a frame")
        assert names["live"].layer.data.shape == (SIZE, SIZE)
        names["live"].stop()
        assert names["live"].wait(10)
        names["viewer"].close()

    monkeypatch.setattr(napari, "run", run)
    exec(script.replace("http://127.0.0.1:8000", service.url), names)
