"""The widget "Live phase": which service, layer and engine; regions; recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from napari.qt.threading import create_worker
from qpi_live.service.client import PhaseClient, ReceivedFrame, ServiceError
from qpi_live.service.napari.live_layer import LiveLayer
from qpi_live.service.napari.recording_reader import read_layers
from qpi_live.service.napari.shapes import regions_of, shapes_of
from qpi_live.service.view import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

Answer = TypeVar("Answer")
_HERE = "http://127.0.0.1:8000"
_REGIONS = "regions"
_TIMEOUT_S = 60.0


class LivePanel(QWidget):
    """What a person does with a running service from within napari.

    Every request runs beside the window, and what the service refuses is said in its own sentence.

    Args:
        viewer: napari's viewer; napari gives it.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._client: PhaseClient | None = None
        self._recording = ""
        self._rate = _Rate()
        self.live: LiveLayer | None = None
        self.url = QLineEdit(_HERE, toolTip="The page's address; paste the link with its token where there is one.")
        self.connect_button = QPushButton("Connect", clicked=self.toggle)
        self.layers = _menu([layer.value for layer in Layer], self._use_layer)
        self.downscale = QSpinBox(minimum=1, maximum=64, toolTip="Edge of the pixel blocks that are averaged into one.")
        self.engines = _menu([], self._use_engine)
        self.send_button = QPushButton("Measure shapes", clicked=self.send_regions)
        self.fetch_button = QPushButton("Show regions", clicked=self.fetch_regions)
        self.name = QLineEdit(placeholderText="its name; the time without one")
        self.frames = QSpinBox(maximum=10_000_000, specialValueText="until stopped", suffix=" frames")
        self.record_button = QPushButton("Record", clicked=self.toggle_recording)
        self.open_button = QPushButton("Open here …", clicked=self._choose_folder, enabled=False)
        self.state = QLabel("", wordWrap=True, toolTip="What the service says of its frames.")
        self.said = QLabel("Not connected.", wordWrap=True)
        self.said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.rate = QLabel("")
        self._lay_out()
        self._enable(False)

    def toggle(self) -> None:
        """Connect, or disconnect."""
        if self._client is None:
            self._client = PhaseClient(self.url.text().strip() or _HERE, timeout_s=_TIMEOUT_S)
            self.connect_button.setText("Disconnect")
            self._enable(True)
            self._use_layer()
            self._ask(self._client.engine, self._list_engines)
        else:
            self._disconnect("Not connected.")

    def send_regions(self) -> None:
        """Let the shapes of the selected Shapes layer, or of the newest one, take the place of all regions."""
        drawn = [layer for layer in self._viewer.layers if hasattr(layer, "shape_type")]
        chosen = [layer for layer in drawn if layer in self._viewer.layers.selection] or drawn
        image = self.live.layer if self.live else None
        if not chosen or image is None or self.live is None or self._client is None:
            self._say("Expected a Shapes layer and a live frame; draw shapes on the live layer first.")
            return
        regions, measuring = regions_of(chosen[-1], image, self.live.downscale), self._client.measuring
        self._ask(lambda: measuring.draw(regions), lambda said: self._say(_figures(said)))

    def fetch_regions(self) -> None:
        """Show the service's regions as a Shapes layer."""
        if self._client is not None:
            self._ask(self._client.measuring.regions, self._show_regions)

    def toggle_recording(self) -> None:
        """Record, or stop the recording that this panel began."""
        if self._client is None:
            return
        recordings, name = self._client.recordings, self._recording
        if name:
            self._ask(lambda: recordings.stop(name), lambda _: self._recorded("It was stopped."))
            return
        limits = {"frames": self.frames.value()} if self.frames.value() else {}
        self._ask(lambda: recordings.start(self.name.text().strip(), **limits), self._begun)

    def open_recording(self, folder: Path | str) -> None:
        """Copy the recording that was made last into `folder`, and open it."""
        if self._client is not None and self.name.text().strip():
            recordings, name = self._client.recordings, self.name.text().strip()
            self._ask(lambda: recordings.download(name, folder), self._opened)

    def closeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Let go of the service when the window is closed."""
        self._disconnect("Not connected.")
        super().closeEvent(event)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Service", _row(self.url, self.connect_button))
        form.addRow("Layer", _row(self.layers, self.rate))
        form.addRow("Blocks", self.downscale)
        form.addRow("Engine", self.engines)
        form.addRow("Regions", _row(self.send_button, self.fetch_button))
        form.addRow("Recording", _row(self.name, self.frames))
        form.addRow("", _row(self.record_button, self.open_button))
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.state)
        column.addWidget(self.said)
        column.addStretch()
        self.downscale.editingFinished.connect(self._use_layer)

    def _enable(self, is_connected: bool) -> None:
        self.url.setEnabled(not is_connected)
        for each in (self.engines, self.send_button, self.fetch_button, self.record_button):
            each.setEnabled(is_connected)

    def _use_layer(self) -> None:
        if self._client is None:
            return
        wanted, downscale = self.layers.currentText(), self.downscale.value()
        self._end_layer()
        self._rate = _Rate()
        live = LiveLayer(self._viewer, self._client, wanted, downscale=downscale)
        live.said.connect(self.state.setText)
        live.shown.connect(self._note)
        live.ended.connect(lambda reason: self._disconnect(reason) if live is self.live else None)
        self.live = live
        live.start()

    def _note(self, frame: ReceivedFrame) -> None:
        fps = self._rate.count()
        if fps is not None:  # once a second, a text that can be read
            self.rate.setText(f"frame {frame.sequence}, {fps:.0f} fps")
            self.state.setText(frame.header.warning or "")

    def _list_engines(self, answer: Any) -> None:
        self.engines.blockSignals(True)
        self.engines.clear()
        self.engines.addItems([offer.name for offer in answer.engines if offer.opens])
        self.engines.setCurrentText(answer.chosen)
        self.engines.setToolTip(answer.doubt or "")
        self.engines.blockSignals(False)

    def _use_engine(self) -> None:
        if self._client is not None:
            client, name = self._client, self.engines.currentText()
            self._say(f"{name} is made ready …")
            self._ask(lambda: client.use_engine(name), self._changed)

    def _changed(self, answer: Any) -> None:
        self._list_engines(answer)
        self._say(answer.doubt or f"{answer.engine.name} on {answer.engine.device} makes the phase.")

    def _show_regions(self, answer: dict[str, Any]) -> None:
        if self.live is None or self.live.layer is None:
            self._say("Expected a live frame to show regions on, and there is none yet.")
            return
        corners, options = shapes_of(answer["regions"], self.live.downscale)
        if _REGIONS in self._viewer.layers:
            self._viewer.layers.remove(_REGIONS)
        if corners:
            image = self.live.layer
            self._viewer.add_shapes(corners, name=_REGIONS, scale=image.scale, units=image.units, **options)
        self._say(_figures(answer))

    def _begun(self, begun: dict[str, Any]) -> None:
        self._recording = str(begun["name"])
        self.name.setText(self._recording)
        self.record_button.setText("Stop")
        self.open_button.setEnabled(False)
        if self._client is not None:
            recordings, name = self._client.recordings, self._recording
            self._ask(lambda: recordings.wait(name), lambda ended: self._recorded(str(ended["sentence"])))

    def _recorded(self, sentence: str) -> None:
        if self._recording:
            self._say(f"{self._recording}: {sentence}")
        self._recording = ""
        self.record_button.setText("Record")
        self.open_button.setEnabled(True)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Copy the recording into this folder")
        if folder:
            self.open_recording(folder)

    def _opened(self, folder: Path) -> None:
        for data, options, _ in read_layers(str(folder)):
            self._viewer.add_image(data, **options)

    def _ask(self, request: Callable[[], Answer], then: Callable[[Answer], object]) -> None:
        """Ask the service beside the window, and say what it refuses."""
        client = self._client
        worker = create_worker(_answered, request, _start_thread=False)
        worker.returned.connect(lambda got: self._take(client, then, got[0], got[1]))
        worker.start()

    def _take(self, client: PhaseClient | None, then: Callable[[Any], object], got: Any, refusal: str) -> None:
        if client is not self._client:
            return  # of a service that was left meanwhile
        if refusal:
            self._say(refusal)
        else:
            then(got)

    def _end_layer(self) -> None:
        if self.live is not None:
            ending, self.live = self.live, None
            ending.stop()

    def _disconnect(self, sentence: str) -> None:
        self._end_layer()
        if self._client is not None:
            self._client.close()
            self._client = None
        self._recording = ""
        self.record_button.setText("Record")
        self.connect_button.setText("Connect")
        self.rate.clear()
        self.state.clear()
        self._enable(False)
        self._say(sentence or "Not connected.")

    def _say(self, sentence: str) -> None:
        self.said.setText(sentence)


class _Rate:
    """Frames per second, said once a second."""

    def __init__(self) -> None:
        self._since, self._frames = monotonic(), 0

    def count(self) -> float | None:
        """Count a frame; the rate when a second is over."""
        self._frames += 1
        taken_s = monotonic() - self._since
        if taken_s < 1.0:
            return None
        rate = self._frames / taken_s
        self._since, self._frames = monotonic(), 0
        return rate


def _answered(request: Callable[[], Answer]) -> tuple[Answer | None, str]:
    """What was asked for and "", or the refusal: napari would show an exception as a fault of its own."""
    try:
        return request(), ""
    except (ServiceError, OSError) as refusal:
        return None, str(refusal)


def _figures(answer: dict[str, Any]) -> str:
    """The regions' mean phase, a line each."""
    means = [(one["name"], one["figures"].get("mean_phase_rad")) for one in answer["figures"]]
    said = [f"{name}: {mean:.3f} rad" for name, mean in means if mean is not None]
    return "\n".join(said) or f"{len(answer['regions'])} regions."


def _menu(words: list[str], then: Callable[[], None]) -> QComboBox:
    menu = QComboBox()
    menu.addItems(words)
    menu.activated.connect(lambda _: then())
    return menu


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
