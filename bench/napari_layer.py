"""How quickly the live layer of napari's plugin is drawn, and whether its memory grows.

    python bench/napari_layer.py
    python bench/napari_layer.py --size 512 --seconds 60 --json result.json

A service of simulated frames at a set rate feeds a napari window that is drawn for real. On a virtual screen
(`xvfb-run`) the CPU does that, which the service shares. Beside the rate stand the most that this window reaches with
frames that are there already, without a service, and what a bare vispy canvas of that size does. Memory is the
program's own, after a tenth of the time and at the end. The last line is the whole result as JSON.
"""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    __import__("environment")  # which Python to use, where this is another

from time import monotonic, perf_counter
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.bench.stream.service import serving
from qpi_live.service.client import PhaseClient, ReceivedFrame
from rich.table import Table

_ALONE = 40  # frames that are drawn without a service
_WINDOW = (900, 700)
_CANVAS = (560, 560)  # what of the window is the picture


def main(
    size: Annotated[int, typer.Option(help="Edge of the frames, pixels.")] = 1024,
    fps: Annotated[float, typer.Option(help="Rate of the camera, frames per second.")] = 30.0,
    seconds: Annotated[float, typer.Option(help="How long to watch.")] = 30.0,
    json: JsonFile = None,
) -> None:
    """Measure the live layer."""
    from napari import Viewer  # noqa: PLC0415 (has its own extra)

    viewer = Viewer()
    viewer.window.resize(*_WINDOW)
    alone, bare = _alone(viewer, size), _bare(size)
    with serving("goldstein", size, fps) as url, PhaseClient(url) as client:
        live = _live(viewer, client, seconds)
    viewer.close()
    result: dict[str, Any] = {
        "size": size,
        "camera_fps": fps,
        "fps_without_a_service": alone,
        "bare_canvas_fps": bare,
        **live,
    }
    table = Table("live layer", f"{size} × {size} px")
    for name, value in result.items():
        table.add_row(name, f"{value:.1f}")
    console.print(table)
    finish(result, json)


def _alone(viewer: Any, size: int) -> float:
    """Frames per second of the same window without receiving any."""
    from qtpy.QtWidgets import QApplication  # noqa: PLC0415

    frames = _frames(size)
    layer = viewer.add_image(frames[0], contrast_limits=(0.0, 1.0))
    for number in range(2 * _ALONE):
        if number == _ALONE:
            began = perf_counter()
        layer.data = frames[number % len(frames)]
        QApplication.processEvents()
    rate = _ALONE / (perf_counter() - began)
    viewer.layers.clear()
    return rate


def _bare(size: int) -> float:
    """Frames per second of nothing but a canvas that draws the same texture: the rasteriser's own bound."""
    from qtpy.QtWidgets import QApplication  # noqa: PLC0415
    from vispy.scene import SceneCanvas, visuals  # noqa: PLC0415

    frames = _frames(size)
    canvas = SceneCanvas(size=_CANVAS, show=True)
    view = canvas.central_widget.add_view(camera="panzoom")
    picture = visuals.Image(frames[0], parent=view.scene, clim=(0.0, 1.0), cmap="viridis", texture_format="auto")
    view.camera.set_range()
    for number in range(2 * _ALONE):
        if number == _ALONE:
            began = perf_counter()
        picture.set_data(frames[number % len(frames)])
        canvas.update()
        QApplication.processEvents()
    rate = _ALONE / (perf_counter() - began)
    canvas.close()
    return rate


def _frames(size: int) -> list[Any]:
    random = np.random.default_rng(0)
    return [random.random((size, size), np.float32) for _ in range(4)]


def _live(viewer: Any, client: PhaseClient, seconds: float) -> dict[str, float]:
    """Frames per second that a live layer shows, its share of the camera's, and megabytes at the start and end."""
    from qpi_live.service.napari.live_layer import LiveLayer  # noqa: PLC0415
    from qtpy.QtWidgets import QApplication  # noqa: PLC0415

    program = psutil.Process()
    seen: list[int] = []
    live = LiveLayer(viewer, client)

    def note(frame: ReceivedFrame) -> None:
        seen.append(frame.sequence)

    live.shown.connect(note)
    live.start()
    while len(seen) < 10:
        QApplication.processEvents()
    seen.clear()
    began, early_mb = monotonic(), 0.0
    while (passed_s := monotonic() - began) < seconds:
        QApplication.processEvents()
        if not early_mb and passed_s > seconds / 10:
            early_mb = program.memory_info().rss / 1e6
    late_mb = program.memory_info().rss / 1e6
    live.stop()
    live.wait(10.0)
    captured = (seen[-1] - seen[0]) / passed_s
    return {"fps": len(seen) / passed_s, "captured_fps": captured, "early_mb": early_mb, "late_mb": late_mb}


if __name__ == "__main__":
    typer.run(main)
