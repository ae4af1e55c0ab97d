"""How quickly the live layer of napari's plugin is drawn, and whether its memory grows.

    python bench/napari_layer.py
    python bench/napari_layer.py --size 512 --seconds 60 --json result.json

A service of fringes at a set rate feeds a napari window that is drawn for real. On a virtual screen (`xvfb-run`) the
CPU does that, which the service shares. Beside the rate stand bounds of the same window: with frames that are there
already, before the service runs and beside it, and a bare vispy canvas of that size. Memory is the program's own, after
a tenth of the time and at the end, and its slope from then on. The last line is the whole result as JSON.
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

_ALONE = 40  # frames of its own that the window draws
_WARM = 10  # frames that the live layer shows first
_LOOKS = 50  # at the memory
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
    result: dict[str, Any] = {"size": size, "camera_fps": fps}
    result |= {"window_alone_fps": _alone(viewer, size), "bare_canvas_fps": _bare(size)}
    with serving("goldstein", size, fps) as url, PhaseClient(url) as client:
        next(client.frames())  # it runs
        result["window_beside_the_service_fps"] = _alone(viewer, size)
        result |= _live(viewer, client, seconds)
    viewer.close()
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
    """Frames per second that a live layer shows, and the camera's meanwhile; megabytes at the start and end."""
    from qpi_live.service.napari.live_layer import LiveLayer  # noqa: PLC0415
    from qtpy.QtCore import QEventLoop, QTimer  # noqa: PLC0415
    from qtpy.QtOpenGLWidgets import QOpenGLWidget  # noqa: PLC0415
    from qtpy.QtWidgets import QApplication  # noqa: PLC0415

    program, waiting, looking = psutil.Process(), QEventLoop(), QTimer()
    seen: list[int] = []
    swapped: list[int] = []  # when a picture had reached the screen: how many frames the layer had got by then
    used_mb: list[tuple[float, float]] = []  # seconds since the start, and memory then
    live = LiveLayer(viewer, client)

    def note(frame: ReceivedFrame) -> None:
        seen.append(frame.sequence)

    (canvas,) = (widget for widget in QApplication.allWidgets() if isinstance(widget, QOpenGLWidget))
    canvas.frameSwapped.connect(lambda: swapped.append(len(seen)))
    live.shown.connect(note)
    live.start()
    while len(seen) < _WARM:
        QApplication.processEvents()
    seen.clear()
    swapped.clear()
    began = monotonic()
    looking.timeout.connect(lambda: used_mb.append((monotonic() - began, program.memory_info().rss / 1e6)))
    looking.start(round(1000 * seconds / _LOOKS))
    QTimer.singleShot(round(1000 * seconds), waiting.quit)
    waiting.exec()
    passed_s, frames, on_screen = monotonic() - began, list(seen), len(set(swapped))
    looking.stop()
    live.stop()
    live.wait(10.0)
    times_s, megabytes = np.array(used_mb[len(used_mb) // 10 :]).T
    return {
        "fps": len(frames) / passed_s,
        "on_screen_fps": on_screen / passed_s,
        "captured_fps": (frames[-1] - frames[0]) / passed_s,
        "early_mb": float(megabytes[0]),
        "late_mb": float(megabytes[-1]),
        "mb_per_minute": 60 * float(np.polyfit(times_s, megabytes, 1)[0]),
    }


if __name__ == "__main__":
    typer.run(main)
