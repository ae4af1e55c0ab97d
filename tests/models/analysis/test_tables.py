from __future__ import annotations

from io import BytesIO, StringIO
from xml.etree import ElementTree as Xml

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import tifffile
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.colony import Colony, ColonySpecimen
from qpi_live.models.analysis.cells import measure_cells
from qpi_live.models.analysis.label_image import label_tiff
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.tables import csv_text, parquet_bytes, trackmate_xml
from qpi_live.models.analysis.tracking import Tracker

from tests.models.analysis.discs import caps

_SCALE = Scale.of(Optics(532e-9, 3.45e-6, 40))


def test_csv_read_by_pandas_gives_the_same_figures() -> None:
    cells = measure_cells(caps((256, 256), [(60, 60, 30, 3), (180, 170, 40, 4)], 0.05), scale=_SCALE)
    read = pd.read_csv(StringIO(csv_text(cells.columns)))
    assert list(read.columns) == list(cells.columns)
    for name, column in cells.columns.items():
        assert np.array_equal(read[name], column.astype(read[name].dtype))


def test_csv_missing_and_infinite_figures_are_empty() -> None:
    assert csv_text({"a_rad": [None, float("nan"), 1.5], "b": [True, False, np.int64(3)]}) == (
        "a_rad,b\n,1\n,0\n1.5,3\n"
    )


def test_parquet_keeps_figures_types_and_notes() -> None:
    cells = measure_cells(caps((256, 256), [(60, 60, 30, 3)], 0.05), scale=_SCALE)
    written = pyarrow.parquet.read_table(BytesIO(parquet_bytes(cells.columns, {"alpha": "0.19"})))
    assert written.schema.metadata[b"alpha"] == b"0.19"
    assert written["dry_mass_pg"].to_pylist() == cells.columns["dry_mass_pg"].tolist()


def test_trackmate_file_holds_every_spot_and_joins_daughters_to_their_mother() -> None:
    colony = Colony(
        ColonySpecimen(cells=4, cell_px=50, step_px=0.5, growth_per_frame=0.02, divides=True), (300, 300), 3, 40
    )
    tracker = Tracker()
    spots = 0
    for frame in range(len(colony)):
        phase = colony.phase_rad(frame)
        phase += np.random.default_rng(frame).normal(0, 0.1, phase.shape).astype(np.float32)
        spots += tracker.update(measure_cells(phase), frame * 0.5, frame).size
    assert any(event.kind == "divided" for event in tracker.events)
    root = Xml.fromstring(trackmate_xml([*tracker.tracks, *tracker.ended], tracker.events, _SCALE))
    found = root.findall("./Model/AllSpots/SpotsInFrame/Spot")
    assert len(found) == spots
    assert {spot.get("FRAME") for spot in found} == {str(frame) for frame in range(40)}
    names = {spot.get("ID"): spot.get("name") for spot in found}
    edges = [(edge.get("SPOT_SOURCE_ID"), edge.get("SPOT_TARGET_ID")) for edge in root.iter("Edge")]
    joins = [(names[a], names[b]) for a, b in edges if names[a] != names[b]]
    assert len(joins) == 2 * sum(event.kind == "divided" for event in tracker.events)
    first = found[0]
    assert float(first.get("POSITION_X", "nan")) <= 300 * 3.45 / 40
    assert float(first.get("DRY_MASS", "nan")) > 0


@pytest.mark.parametrize("ids", [None, np.array([7, 70_000])])
def test_label_tiff_says_what_it_holds(ids: np.ndarray | None) -> None:
    cells = measure_cells(caps((256, 256), [(60, 60, 30, 3), (180, 170, 40, 4)], 0.05))
    labels = cells.segmentation.labels
    with tifffile.TiffFile(BytesIO(label_tiff(labels, _SCALE, ids))) as file:
        read = file.asarray()
        assert file.is_ome
        assert 'PhysicalSizeX="0.08625"' in (file.ome_metadata or "")
    assert set(np.unique(read)) == ({0, 1, 2} if ids is None else {0, 7, 70_000})
    assert np.array_equal(read > 0, labels > 0)
