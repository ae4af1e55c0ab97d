"""The cells of a whole recording, from the command line, opened as users open them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer
from qpi_live.service.cli import process as process_command
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

from tests.camera.files.recorded.recordings import STARTED_NS, frame_of, manifest_of
from tests.models.analysis.discs import cap_sum, caps
from tests.models.fringes import interferogram

_FRAMES = 5


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two cells that move by two pixels a frame."""
    frames = [
        interferogram(caps((192, 224), [(60, 60 + 2 * k, 30, 3), (130, 150 - 2 * k, 35, 4)])) for k in range(_FRAMES)
    ]
    tifffile.imwrite(tmp_path / "run.tif", np.stack(frames))
    return tmp_path / "run.tif"


@pytest.mark.parametrize("kind", ["ome-zarr", "ome-tiff"])
def test_process_with_cells_writes_a_table_and_tracks(recording: Path, tmp_path: Path, kind: str) -> None:
    command = ["process", str(recording), "-o", str(tmp_path / "phase"), "--to", kind, "--cells", "--workers", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    [table_file] = (tmp_path / "phase").glob("*/cells.csv")
    table = pd.read_csv(table_file)
    assert table.groupby("frame").size().tolist() == [2] * _FRAMES
    assert table["id"].nunique() == 2
    first = table[table["id"] == table["id"].iloc[0]]
    assert first["integrated_phase_rad_px"].to_numpy() == pytest.approx(cap_sum(30, 3), rel=0.05)
    assert np.diff(first["x_px"]) == pytest.approx(2, abs=0.3)
    tracks = Xml.parse(table_file.with_name("tracks.xml"))
    assert len(tracks.findall(".//Spot")) == 2 * _FRAMES
    labels = _labels_in(table_file.parent, kind)
    assert (labels.shape, labels.dtype) == ((_FRAMES, 192, 224), np.uint32)
    for _, cell in table.iterrows():
        assert np.count_nonzero(labels[int(cell["frame"])] == cell["id"]) == cell["area_px"]
    assert set(np.unique(labels)) == {0, *table["id"]}


def _labels_in(folder: Path, kind: str) -> np.ndarray:
    """The label image, as users' readers find it."""
    if kind == "ome-tiff":
        with tifffile.TiffFile(folder / "cells.ome.tif") as tiff:
            assert tiff.is_ome
            return np.asarray(tiff.series[0].asarray())
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    location = parse_url(folder)
    assert location is not None
    nodes = list(Reader(location)())
    assert [str(node.zarr.path).rstrip("/").rsplit("/", 1)[-1] for node in nodes if "cells" in str(node.zarr.path)]
    [found] = [node.data[0] for node in nodes if str(node.zarr.path).rstrip("/").endswith("labels/cells")]
    return np.asarray(found)


def test_process_at_another_focus_needs_the_optics(recording: Path, tmp_path: Path) -> None:
    command = ["process", str(recording), "-o", str(tmp_path / "phase"), "--focus-um", "3"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code != 0
    assert "wavelength" in refused.output


def test_process_alpha_that_no_matter_has_is_refused_before_the_work(recording: Path, tmp_path: Path) -> None:
    command = ["process", str(recording), "-o", str(tmp_path / "phase"), "--cells", "--alpha", "19"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code != 0
    assert "0.18" in refused.output
    assert not (tmp_path / "phase").exists()


def _processed(address: Path, out: Path) -> tuple[pd.DataFrame, Xml.Element]:
    done = CliRunner().invoke(app, ["process", str(address), "-o", str(out), "--cells", "--workers", "1"])
    assert done.exit_code == 0, done.output
    [table] = out.glob("*/cells.csv")
    return pd.read_csv(table), Xml.parse(table.with_name("tracks.xml")).getroot()


def test_process_cells_have_the_frames_own_times(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path / "run")
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest, None)
    times_s = [0.0, 0.5, 7.25]  # a time-lapse that stumbled
    for number, time_s in enumerate(times_s):
        shown = interferogram(caps((192, 224), [(60, 60, 30, 3)]).astype(np.float64))
        layer.append(replace(frame_of(number), pixels=shown, captured_ns=STARTED_NS + int(time_s * 1e9)), shown)
    layer.close()
    manifest.ended_ns, manifest.state = STARTED_NS, "done"
    manifest.write(tmp_path / "run")
    table, tracks = _processed(tmp_path / "run", tmp_path / "out")
    assert table["time_s"].tolist() == times_s
    assert [float(spot.get("POSITION_T", "nan")) for spot in tracks.iter("Spot")] == times_s
    [image] = tracks.iter("ImageData")
    assert float(image.get("timeinterval", "nan")) == pytest.approx(7.25 / 2)


def test_process_cells_of_unknown_times_have_none_and_tracks_count_frames(recording: Path, tmp_path: Path) -> None:
    table, tracks = _processed(recording, tmp_path / "out")
    assert table["time_s"].isna().all()
    [model] = tracks.iter("Model")
    assert model.get("timeunits") == "frame"
    assert {spot.get("POSITION_T") for spot in tracks.iter("Spot")} == {f"{n}.0" for n in range(_FRAMES)}


def test_process_leaves_masked_pixels_out_of_phase_and_cells(tmp_path: Path) -> None:
    clean = interferogram(caps((192, 224), [(60, 60, 30, 3)]).astype(np.float64))
    dark = clean.copy()
    dark[100:180, 120:210] = np.random.default_rng(0).integers(0, 6, (80, 90))  # no fringes: the engine masks it
    tifffile.imwrite(tmp_path / "run.tif", np.stack([dark, dark]))
    table, _ = _processed(tmp_path / "run.tif", tmp_path / "out")
    phase_rad = np.asarray(zarr.open_array(store=tmp_path / "out" / "run.ome.zarr", path="0", mode="r")[...])
    assert np.isnan(phase_rad[:, 120:160, 140:190]).mean() > 0.9
    assert np.isfinite(phase_rad[:, 40:80, 40:80]).all()
    assert table.groupby("frame").size().tolist() == [1, 1]


def test_process_takes_regions_as_the_page_drew_them(tmp_path: Path) -> None:
    layer = np.full((192, 224), 2.5)
    layer[20:90, 120:200] = 0
    tifffile.imwrite(tmp_path / "run.tif", np.stack([interferogram(layer, seed=k) for k in range(2)]))
    drawn = {
        "regions": [
            {"name": "b", "shape": "rectangle", "points": [[25, 125], [85, 195]], "role": "background"},
            {"name": "x", "shape": "rectangle", "points": [[150, 0], [192, 60]], "role": "excluded"},
        ],
        "figures": [],
    }
    (tmp_path / "regions.json").write_text(json.dumps(drawn))
    command = ["process", str(tmp_path / "run.tif"), "-o", str(tmp_path / "phase"), "--workers", "1"]
    done = CliRunner().invoke(app, [*command, "--regions", str(tmp_path / "regions.json")])
    assert done.exit_code == 0, done.output
    phase = np.asarray(zarr.open_array(tmp_path / "phase" / "run.ome.zarr" / "0", mode="r"))
    assert np.isnan(phase[:, 150:, :60]).all()
    assert np.isfinite(phase[:, :140]).all()
    assert np.abs(np.median(phase[:, 35:75, 135:185], axis=(1, 2))).max() < 0.1
    again = CliRunner().invoke(app, command)
    assert "another engine or recording" in again.output
    (tmp_path / "regions.json").write_text('{"regions": [{"name": "b", "shape": "star", "points": []}]}')
    refused = CliRunner().invoke(app, [*command, "--regions", str(tmp_path / "regions.json")])
    assert refused.exit_code == 2
    assert "expected a JSON file of regions" in refused.output


SOUND = '{"name": "b", "shape": "rectangle", "points": [[1, 2], [3, 4]]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"regions": 5}',
        '{"regions": [5]}',
        '{"regions": [{"name": ["b"], "shape": "rectangle", "points": [[1, 2], [3, 4]]}]}',
        '{"regions": [{"name": "b", "shape": "rectangle", "points": [[1, 2], [3, 1e400]]}]}',
        '{"regions": [{"name": "b", "shape": "rectangle", "points": [[1, 2], [3, 1' + "0" * 400 + "]]}]}",
        '{"regions": [{"name": "b", "shape": "rectangle", "points": [[1, 2], [3, 4]], "colour": 1}]}',
        '{"regions": [{"name": "b", "shape": "line", "points": [[1, 2], [3, 4]], "role": "background"}]}',
        f'{{"regions": [{SOUND}, {SOUND}]}}',
        "[" * 100_000,
    ],
)
def test_process_with_regions_that_are_none_says_so_and_makes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "regions.json").write_text(text)
    command = ["process", "run.tif", "-o", str(tmp_path / "phase"), "--regions", str(tmp_path / "regions.json")]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, type(refused.exception)) == (2, SystemExit)
    assert "expected" in refused.output
    assert not (tmp_path / "phase").exists()


def test_process_takes_regions_from_an_editor_that_marks_utf_8(tmp_path: Path) -> None:
    (tmp_path / "regions.json").write_text(f'{{"regions": [{SOUND}]}}', encoding="utf-8-sig")
    assert [region.name for region in process_command._regions_in(tmp_path / "regions.json")] == ["b"]
