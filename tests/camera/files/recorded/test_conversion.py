"""Recordings as other kinds of files, read back by their own readers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from qpi_live.camera.files.conversion import convert
from qpi_live.camera.files.recording import open_recording
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

from tests.camera.files.recorded.recordings import record


@pytest.mark.parametrize("out", ["run.ome.zarr", "run.h5", "run again"])
def test_converted_recording_plays_as_the_recording_does(tmp_path: Path, out: str) -> None:
    recorded = record(tmp_path / "run", 70)
    convert(str(tmp_path / "run"), tmp_path / out)
    played = open_recording(str(tmp_path / out))
    assert played.frames == 70
    assert played.frame_rate_hz == pytest.approx(10.0)
    assert played.optics is not None
    assert played.optics.object_pixel_m == pytest.approx(0.2e-6)
    assert all((played.read(number).pixels == image).all() for number, image in enumerate(recorded))
    played.close()


def test_ome_zarr_has_the_specification_s_metadata_and_a_chunk_a_frame_in_shards(tmp_path: Path) -> None:
    record(tmp_path / "run", 70)
    convert(str(tmp_path / "run"), tmp_path / "run.ome.zarr")
    group = zarr.open_group(tmp_path / "run.ome.zarr", mode="r")
    described = dict(group.attrs["ome"])  # type: ignore[arg-type]
    (multiscale,) = described["multiscales"]
    assert described["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == ["t", "y", "x"]
    assert multiscale["axes"][2]["unit"] == "micrometer"
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == pytest.approx([0.1, 0.2, 0.2])
    array = group["0"]
    assert isinstance(array, zarr.Array)
    assert (array.shape, array.chunks, array.shards) == ((70, 96, 128), (1, 96, 128), (64, 96, 128))


def test_ome_zarr_opens_in_the_reader_of_the_specification_s_authors(tmp_path: Path) -> None:
    reader = pytest.importorskip("ome_zarr.reader", reason="pip install ome-zarr")
    location = pytest.importorskip("ome_zarr.io")
    recorded = record(tmp_path / "run", 6)
    convert(str(tmp_path / "run"), tmp_path / "run.ome.zarr")
    (node, *_) = reader.Reader(location.parse_url(str(tmp_path / "run.ome.zarr")))()
    assert (np.asarray(node.data[0]) == np.stack(recorded)).all()


def test_hdf5_has_qpformat_s_layout(tmp_path: Path) -> None:
    recorded = record(tmp_path / "run", 3)
    convert(str(tmp_path / "run"), tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        assert dict(file.attrs) == {"file_format": "qpformat", "imaging_modality": "off-axis holography"}
        assert sorted(file) == ["0", "1", "2"]
        assert (file["2"][...] == recorded[2]).all()
        assert file["2"].attrs["wavelength"] == pytest.approx(532e-9)
        assert file["2"].attrs["time"] == pytest.approx(0.2)


def test_convert_command_never_overwrites_and_leaves_nothing_behind_where_it_fails(tmp_path: Path) -> None:
    record(tmp_path / "run", 3)
    run = CliRunner().invoke
    assert run(app, ["convert", str(tmp_path / "run"), str(tmp_path / "a.h5")]).exit_code == 0
    before = (tmp_path / "a.h5").read_bytes()
    taken = run(app, ["convert", str(tmp_path / "run"), str(tmp_path / "a.h5")])
    assert taken.exit_code == 2
    assert "which is there already" in taken.output
    assert (tmp_path / "a.h5").read_bytes() == before
    assert run(app, ["convert", str(tmp_path / "run"), str(tmp_path / "a.mp4")]).exit_code == 2
    assert run(app, ["convert", str(tmp_path / "nothing"), str(tmp_path / "b.h5")]).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "run"]
