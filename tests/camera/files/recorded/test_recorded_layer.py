"""Recorded pages, as every reader of TIFF sees them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qpi_live.camera.files.readers.ome import parse_ome
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.files.writers.layer_names import parts_of
from qpi_live.camera.files.writers.recorded_layer import RecordedLayer

from tests.camera.files.recorded.recordings import frame_of, manifest_of, record

FOUR_GB, ONE_FILE = 4 << 30, None


@pytest.mark.parametrize("most_file_bytes", [FOUR_GB, ONE_FILE])
def test_recording_opens_in_tifffile_with_scale_times_and_exposure(tmp_path: Path, most_file_bytes: int | None) -> None:
    recorded = record(tmp_path / "run", 12, most_file_bytes)
    with tifffile.TiffFile(tmp_path / "run" / "interferogram.ome.tif") as tiff:
        assert tiff.is_bigtiff == (most_file_bytes is None)
        (series,) = tiff.series
        assert (series.axes, series.shape, series.dtype) == ("TYX", (12, 96, 128), np.uint8)
        assert (series.asarray() == np.stack(recorded)).all()
        across, per = tiff.pages.first.tags["XResolution"].value
        assert 0.01 * per / across == pytest.approx(0.2e-6, rel=1e-6)  # metres a pixel
        described = tifffile.xml2dict(tiff.ome_metadata)["OME"]
    pixels = described["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.2, "µm")
    assert pixels["TimeIncrement"] == pytest.approx(0.1)
    assert [plane["DeltaT"] for plane in pixels["Plane"]] == pytest.approx([0.1 * number for number in range(12)])
    assert {plane["ExposureTime"] for plane in pixels["Plane"]} == {1500.0, 1501.0}
    told = {one["K"]: one["value"] for one in described["StructuredAnnotations"]["MapAnnotation"]["Value"]["M"]}
    assert str(told["engine carrier"]) == "(0.11, 0.17)"
    (image,) = parse_ome(ome_of(tmp_path / "run"))
    optics = image.facts.optics
    assert optics is not None
    assert (optics.wavelength_m or image.channels[0].wavelength_m, optics.numerical_aperture) == (
        pytest.approx(532e-9),
        0.4,
    )


def ome_of(folder: Path) -> str:
    with tifffile.TiffFile(folder / "interferogram.ome.tif") as tiff:
        assert tiff.ome_metadata
        return tiff.ome_metadata


def test_recording_is_a_chain_of_pages_that_imagej_opens(tmp_path: Path) -> None:
    """ImageJ's TiffDecoder: classic TIFF, each page one uncompressed strip, walked by the next page's offset."""
    recorded = record(tmp_path / "run", 5)
    data = (tmp_path / "run" / "interferogram.ome.tif").read_bytes()
    magic, version, at = struct.unpack_from("<2sHI", data)
    assert (magic, version) == (b"II", 42)
    seen = []
    while at:
        (count,) = struct.unpack_from("<H", data, at)
        entries = [struct.unpack_from("<HHII", data, at + 2 + 12 * number) for number in range(count)]
        assert [tag for tag, *_ in entries] == sorted(tag for tag, *_ in entries)
        tags = {tag: value for tag, _, _, value in entries}
        assert tags[259] == 1
        assert tags[273] + tags[279] <= len(data)
        seen.append(np.frombuffer(data, np.uint8, tags[279], tags[273]).reshape(tags[257], tags[256]))
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * count)
    assert (np.stack(seen) == np.stack(recorded)).all()


def test_every_page_and_the_list_say_of_a_frame_what_the_camera_said(tmp_path: Path) -> None:
    recorded = record(tmp_path / "run", 9)
    lines = [json.loads(line) for line in (tmp_path / "run" / "interferogram.frames.jsonl").read_text().splitlines()]
    assert [line["crc32"] for line in lines] == [zlib.crc32(image.tobytes()) for image in recorded]
    expected = frame_of(8)
    assert lines[8]["device_id"] == expected.device_id
    assert lines[8]["captured_ns"] == expected.captured_ns
    assert (lines[8]["exposure_us"], lines[8]["gain"], lines[8]["epoch"]) == (1501.0, 2.0, 3)
    assert [number for number, line in enumerate(lines) if "settings" in line] == [0, 8]  # where they change
    with tifffile.TiffFile(tmp_path / "run" / "interferogram.ome.tif") as tiff:
        pages = [json.loads(page.tags["ImageDescription"].value) for page in map(tiff.pages.get, range(1, 9))]
    assert pages == lines[1:]


def test_open_recording_before_it_is_closed_shows_every_frame_so_far(tmp_path: Path) -> None:
    recorded = record(tmp_path / "run", 7, closes=False)
    with tifffile.TiffFile(tmp_path / "run" / "interferogram.ome.tif") as tiff:
        assert (tiff.series[0].asarray() == np.stack(recorded)).all()
    played = open_recording(str(tmp_path / "run"))
    assert played.frames == 7
    assert "was not closed" in played.remark
    played.close()


def test_recording_is_split_where_a_file_would_grow_too_large_and_plays_as_one(tmp_path: Path) -> None:
    recorded = record(tmp_path / "run", 40, 300_000)
    parts = list(parts_of(tmp_path / "run", "interferogram").values())
    assert len(parts) > 2
    assert all(part.stat().st_size <= 300_000 for part in parts)
    for part in parts:
        with tifffile.TiffFile(part) as tiff:
            assert tiff.series[0].shape[0] == len(tiff.pages)
    played = open_recording(str(tmp_path / "run"))
    assert played.frames == 40
    assert played.frame_rate_hz == pytest.approx(10.0)
    assert played.optics is not None
    assert played.optics.magnification == 20.0
    assert all((played.read(number).pixels == image).all() for number, image in enumerate(recorded))
    played.close()


def test_recording_never_takes_the_place_of_a_file_that_is_there(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path / "run")
    (tmp_path / "run" / "interferogram.ome.tif").write_bytes(b"somebody's")
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest, FOUR_GB)
    with pytest.raises(FileExistsError):
        layer.append(frame_of(0), frame_of(0).pixels)
    assert (tmp_path / "run" / "interferogram.ome.tif").read_bytes() == b"somebody's"


def test_phase_is_recorded_as_float32(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path / "run", ("phase",))
    layer = RecordedLayer(tmp_path / "run", "phase", manifest, FOUR_GB)
    phase_rad = np.linspace(-3, 20, 96 * 128, dtype=np.float32).reshape(96, 128)
    for number in range(3):
        layer.append(frame_of(number), phase_rad + number, {"engine": "goldstein"})
    layer.close()
    with tifffile.TiffFile(tmp_path / "run" / "phase.ome.tif") as tiff:
        assert (tiff.series[0].asarray() == np.stack([phase_rad, phase_rad + 1, phase_rad + 2])).all()


@pytest.mark.parametrize("before", [0, 1, 5])
def test_frame_that_the_list_does_not_take_is_in_neither(tmp_path: Path, before: int) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no disk here that is always full")
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest_of(tmp_path / "run"), 4 << 30)
    frames = [frame_of(number) for number in range(before + 3)]
    for frame in frames[:before]:
        layer.append(frame, frame.pixels)
    assert layer._list is not None
    real = layer._list._file
    with open("/dev/full", "wb", buffering=0) as full:
        layer._list._file = full
        with pytest.raises(OSError, match=r"No space left|Invalid argument"):
            layer.append(frames[before], frames[before].pixels)
    layer._list._file = real
    assert layer.frames == before
    for frame in frames[before + 1 :]:
        layer.append(frame, frame.pixels)
    layer.close()
    with tifffile.TiffFile(tmp_path / "run" / "interferogram.ome.tif") as tiff:
        assert len(tiff.pages) == before + 2
        kept = np.stack([page.asarray() for page in tiff.pages])
    assert (kept == np.stack([frame.pixels for frame in (*frames[:before], *frames[before + 1 :])])).all()


def test_layer_whose_only_frame_the_list_did_not_take_closes_without_a_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no disk here that is always full")
    layer = RecordedLayer(tmp_path / "run", "interferogram", manifest_of(tmp_path / "run"), 4 << 30)
    assert layer._list is not None
    real = layer._list._file
    with open("/dev/full", "wb", buffering=0) as full:
        layer._list._file = full
        with pytest.raises(OSError, match=r"No space left|Invalid argument"):
            layer.append(frame_of(0), frame_of(0).pixels)
    layer._list._file = real
    layer.close()
    assert not (tmp_path / "run" / "interferogram.ome.tif").exists()
