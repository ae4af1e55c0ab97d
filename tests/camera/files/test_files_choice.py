"""What of a recording is played where several things could be meant, and what is refused by its name."""

from pathlib import Path
from time import process_time

import av
import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.files import recording as recording_module
from qpi_live.camera.files.choice import is_other_image
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.recording import open_recording
from qpi_live.camera.files.replay import ReplayCamera
from qpi_live.camera.source import CameraOptions

from tests.camera.files.written.stack import frames

FRINGES = np.round(120 + 80 * np.cos(np.add.outer(1.3 * np.arange(64), 1.1 * np.arange(80)))).astype(np.uint8)
CELLS = np.round(200 * np.exp(-np.add.outer((np.arange(64) - 30) ** 2, (np.arange(80) - 40) ** 2) / 200)).astype(
    np.uint8
)


def test_open_recording_of_several_datasets_without_a_name_lists_them(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "several.h5", "w") as file:
        file["a/left"] = frames(3)
        file["a/right"] = frames(5)
    with pytest.raises(ImageFileError, match=r"/a/left \(3 × 36 × 48 uint16\), /a/right \(5 .*PATH::/a/left"):
        open_recording(str(tmp_path / "several.h5"))
    assert open_recording(f"{tmp_path / 'several.h5'}::/a/right").frames == 5
    assert open_recording(f"{tmp_path / 'several.h5'}::a/right").frames == 5
    with pytest.raises(ImageFileError, match=r"expected one of /a/left .*, got ::/b"):
        open_recording(f"{tmp_path / 'several.h5'}::/b")


def test_open_recording_of_an_archive_never_takes_the_background_for_a_hologram(tmp_path: Path) -> None:
    stack = frames(3)
    np.savez(tmp_path / "first.npz", background=stack[0], hologram=stack)
    recording = open_recording(str(tmp_path / "first.npz"))
    assert recording.frames == 3
    assert recording.remark == "Playing hologram; also there: background."


@pytest.mark.parametrize(
    "modality", ["quadriwave lateral shearing interferometry", "QLSI", "in-line holography", "phase"]
)
def test_open_recording_of_a_stated_foreign_modality_is_refused_by_its_name(tmp_path: Path, modality: str) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["0"] = frames(1)[0]
        file.attrs["imaging_modality"] = modality
    with pytest.raises(ImageFileError, match=f"expected off-axis holograms, got .*{modality}"):
        open_recording(str(tmp_path / "foreign.h5"))


@pytest.mark.parametrize("modality", ["off-axis holography", "digital holographic microscopy"])
def test_open_recording_of_a_stated_hologram_plays(tmp_path: Path, modality: str) -> None:
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["0"] = frames(1)[0]
        file.attrs["imaging_modality"] = modality
    assert open_recording(str(tmp_path / "own.h5")).frames == 1


def test_open_recording_of_fluorescence_alone_is_refused_unless_asked_for(tmp_path: Path) -> None:
    metadata = {"axes": "TYX", "Channel": {"Name": ["GFP"]}}
    tifffile.imwrite(tmp_path / "gfp.ome.tif", frames(3), photometric="minisblack", metadata=metadata)
    with pytest.raises(ImageFileError, match="expected holograms, got fluorescence"):
        open_recording(str(tmp_path / "gfp.ome.tif"))
    assert open_recording(str(tmp_path / "gfp.ome.tif"), "GFP").frames == 3


def test_open_recording_of_channels_without_telling_names_takes_the_one_with_fringes(tmp_path: Path) -> None:
    both = np.stack([np.stack([CELLS, FRINGES])] * 3)
    metadata = {"axes": "TCYX", "Channel": {"Name": ["Ch1", "Ch2"]}}
    tifffile.imwrite(tmp_path / "two.ome.tif", both, photometric="minisblack", metadata=metadata)
    recording = open_recording(str(tmp_path / "two.ome.tif"))
    np.testing.assert_array_equal(recording.read(2).pixels, FRINGES)
    assert recording.remark == "Channel Ch2 of Ch1, Ch2."


def test_open_recording_of_channels_that_nothing_tells_apart_asks(tmp_path: Path) -> None:
    both = np.stack([np.stack([FRINGES, FRINGES])] * 3)
    metadata = {"axes": "TCYX", "Channel": {"Name": ["Ch1", "Ch2"]}}
    tifffile.imwrite(tmp_path / "two.ome.tif", both, photometric="minisblack", metadata=metadata)
    with pytest.raises(ImageFileError, match=r"got Ch1, Ch2; add --channel NAME"):
        open_recording(str(tmp_path / "two.ome.tif"))
    with pytest.raises(ImageFileError, match=r"expected a channel among Ch1, Ch2, got --channel Ch3"):
        open_recording(str(tmp_path / "two.ome.tif"), "Ch3")


def test_open_recording_of_one_moment_in_two_nameless_channels_never_plays_the_one_without_fringes(
    tmp_path: Path,
) -> None:
    tifffile.imwrite(tmp_path / "one.tif", np.stack([CELLS, FRINGES]), imagej=True, metadata={"axes": "CYX"})
    recording = open_recording(str(tmp_path / "one.tif"))
    assert recording.frames == 1
    np.testing.assert_array_equal(recording.read(0).pixels, FRINGES)


@pytest.mark.parametrize(
    ("name", "is_other"),
    [
        ("background", True),
        ("BG_001", True),
        ("cells_ref", True),
        ("img_GFP_001", True),
        ("dark-frame", True),
        ("hologram_background_corrected", False),
        ("frame_001", False),
        ("refocused", False),
        ("Referring", False),
    ],
)
def test_is_other_image_by_names(name: str, is_other: bool) -> None:
    assert is_other_image(name) is is_other


def test_open_recording_of_a_folder_of_references_alone_plays_them(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(FRINGES).save(tmp_path / f"reference_{number}.png")
    assert open_recording(str(tmp_path)).frames == 3


def test_open_recording_of_a_micro_manager_run_of_positions_plays_the_first_and_others_by_name(tmp_path: Path) -> None:
    for position in range(2):
        (tmp_path / f"Pos{position}").mkdir()
        for time in range(3):
            image = np.full((36, 48), 10 * position + time, np.uint8)
            tifffile.imwrite(tmp_path / f"Pos{position}" / f"img_{time:09d}_Default_000.tif", image)
    recording = open_recording(str(tmp_path))
    assert (recording.frames, int(recording.read(2).pixels[0, 0])) == (3, 2)
    assert "Playing Pos0, 1 of 2" in recording.remark
    assert int(open_recording(f"{tmp_path}::Pos1").read(0).pixels[0, 0]) == 10


def test_open_recording_of_positions_in_one_ome_tiff_plays_the_first_and_says_so(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "run.ome.tif") as writer:
        for position in range(2):
            metadata = {"axes": "TYX", "Name": f"run_MMStack_Pos{position}"}
            writer.write(np.full((3, 36, 48), position, np.uint8), photometric="minisblack", metadata=metadata)
    recording = open_recording(str(tmp_path / "run.ome.tif"))
    assert (recording.frames, int(recording.read(0).pixels.max())) == (3, 0)
    assert "Playing run_MMStack_Pos0, 1 of 2" in recording.remark
    assert int(open_recording(f"{tmp_path / 'run.ome.tif'}::run_MMStack_Pos1").read(0).pixels.max()) == 1


def test_open_recording_of_an_archive_with_a_pickled_member_plays_the_sound_one(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mixed.npz", notes=np.array([{"a": 1}], dtype=object), holograms=frames(3))
    assert open_recording(str(tmp_path / "mixed.npz")).frames == 3


@pytest.mark.parametrize(("package", "file", "extra"), [("av", "x.avi", "video"), ("zarr.core", "x.zarr", "files")])
def test_open_recording_without_the_package_it_needs_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, file: str, extra: str
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(recording_module, "import_module", missing)
    path = tmp_path / file
    if extra == "files":
        path.mkdir()
        (path / "zarr.json").write_text("{}")
    else:
        path.write_bytes(b"RIFF")
    with pytest.raises(ImageFileError, match=rf"pip install 'qpi-live\[{extra}\]'"):
        open_recording(str(path))


def test_open_recording_of_lossy_video_warns(tmp_path: Path) -> None:
    path = tmp_path / "lossy.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "yuvj420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(FRINGES, format="gray").reformat(format="yuvj420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    recording = open_recording(str(path))
    assert recording.frames == 3
    assert "compressed with loss (mjpeg)" in recording.remark


def test_replay_without_a_recording_suggests_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CameraUnavailable, match="nothing there"):
        ReplayCamera.open(f"{tmp_path / 'none.h5'}::/data", CameraOptions())


@pytest.mark.parametrize(
    "kind", ["folder of PNG", "folder of TIFF", "TIFF", "ImageJ", "OME-TIFF", "HDF5", "qpformat", "npy"]
)
def test_open_recording_of_ten_thousand_frames_takes_under_five_seconds(tmp_path: Path, kind: str) -> None:
    stack = np.zeros((10_000, 16, 16), np.uint8)
    path = tmp_path
    if kind.startswith("folder"):
        suffix = ".png" if kind.endswith("PNG") else ".tif"
        first = tmp_path / f"img_0{suffix}"
        if suffix == ".png":
            Image.fromarray(stack[0]).save(first)
        else:
            tifffile.imwrite(first, stack[0])
        data = first.read_bytes()
        for number in range(1, 10_000):
            (tmp_path / f"img_{number}{suffix}").write_bytes(data)
    elif kind in ("HDF5", "qpformat"):
        path = tmp_path / "stack.h5"
        with h5py.File(path, "w") as file:
            if kind == "HDF5":
                file.create_dataset("images", data=stack, chunks=(1, 16, 16))
            else:
                for number in range(10_000):
                    file[str(number)] = stack[0]
    elif kind == "npy":
        path = tmp_path / "stack.npy"
        np.save(path, stack)
    else:
        path = tmp_path / ("stack.ome.tif" if kind == "OME-TIFF" else "stack.tif")
        tifffile.imwrite(path, stack, imagej=kind == "ImageJ", photometric="minisblack", metadata={"axes": "TYX"})
    began = process_time()  # of the processor: whatever else the machine does costs nothing
    recording = open_recording(str(path))
    took_s = process_time() - began
    assert recording.frames == 10_000
    recording.read(9_999)
    recording.close()
    assert took_s < 5
