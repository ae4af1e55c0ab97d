"""The cells of a whole recording, from the command line, opened as users open them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pandas as pd
import pytest
import tifffile
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

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
