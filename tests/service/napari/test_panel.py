"""The panel in a real napari window, on a real service: engine, regions, recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qpi_live import PhaseClient
from tests.service.napari.conftest import SIZE
from tests.service.napari.window import until
from tests.service.served import Service


@pytest.fixture
def panel(viewer: Any, service: Service) -> Iterator[Any]:
    """The panel as napari itself opens it, connected, with frames coming."""
    _, panel = viewer.window.add_plugin_dock_widget("qpi-live", "Live phase")
    panel.url.setText(service.url)
    panel.connect_button.click()
    until(lambda: panel.live.layer is not None and panel.engines.count(), "a frame and the engines")
    yield panel
    live = panel.live
    panel.close()
    assert live is None or live.wait(10)


def test_panel_shows_another_layer_beside_the_first(viewer: Any, panel: Any) -> None:
    panel.layers.setCurrentText("interferogram")
    panel.layers.activated.emit(panel.layers.currentIndex())
    until(lambda: panel.live.layer is not None, "an interferogram")
    assert [layer.name for layer in viewer.layers] == ["phase (rad), live", "interferogram (grey value), live"]
    assert viewer.layers[1].data.dtype.kind == "u"


def test_panel_changes_the_engine_of_the_service(panel: Any, service: Service) -> None:
    with PhaseClient(service.url) as client:
        assert panel.engines.currentText() == "goldstein"
        panel.engines.setCurrentText("auto")
        panel.engines.activated.emit(panel.engines.currentIndex())
        until(lambda: client.engine().chosen == "auto", "another engine")
        until(lambda: "makes the phase" in panel.said.text() or "trust" in panel.said.text(), "what was changed")
        client.use_engine("goldstein")


def test_panel_measures_shapes_where_they_were_drawn(viewer: Any, panel: Any, service: Service) -> None:
    image = panel.live.layer
    drawn = viewer.add_shapes(
        [[(10, 20), (10, 59), (49, 59), (49, 20)]], shape_type="rectangle", scale=image.scale, units=image.units
    )
    drawn.features = {"name": ["cell"]}
    panel.send_button.click()
    until(lambda: "cell: " in panel.said.text(), "the figures")
    with PhaseClient(service.url) as client:
        (region,) = client.regions
        assert region == {
            "name": "cell",
            "shape": "rectangle",
            "points": [[10.5, 20.5], [49.5, 59.5]],
            "role": "measure",
        }
        drawn.data = []
        panel.fetch_button.click()
        until(lambda: "regions" in viewer.layers, "the regions as shapes")
        back = viewer.layers["regions"]
        assert back.shape_type == ["rectangle"]
        assert np.allclose(back.data[0], [(10, 20), (10, 59), (49, 59), (49, 20)])
        client.regions = []


def test_panel_records_and_opens_what_was_recorded(viewer: Any, panel: Any, tmp_path: Path) -> None:
    panel.name.setText("of napari")
    panel.frames.setValue(5)
    panel.record_button.click()
    until(lambda: panel.open_button.isEnabled() and panel.record_button.text() == "Record", "five frames")
    panel.open_recording(tmp_path)
    until(lambda: "of napari interferogram" in viewer.layers, "the recording")
    layer = viewer.layers["of napari interferogram"]
    assert layer.data.shape == (5, SIZE, SIZE)
    assert np.asarray(layer.data[4]).std() > 0


def test_panel_says_what_the_service_refuses(panel: Any, service: Service) -> None:
    with PhaseClient(service.url) as client:
        client.record("taken", frames=1)
        client.recordings.wait("taken")
    panel.name.setText("taken")
    panel.record_button.click()
    until(lambda: "'taken'" in panel.said.text(), "the refusal")
    assert panel.record_button.text() == "Record"


def test_panel_without_shapes_or_service_says_what_to_do(viewer: Any, panel: Any) -> None:
    panel.send_button.click()
    assert "draw shapes" in panel.said.text()
    panel.connect_button.click()
    assert panel.said.text() == "Not connected."
    assert not panel.record_button.isEnabled()
