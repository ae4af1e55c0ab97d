"""Recordings on disk, by one index of frames, whatever kind of file they lie in.

A recording is opened without being read: one frame at a time comes into memory, by its place in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import numpy as np
from qpi_live.camera.files.bounded_file import Watch
from qpi_live.camera.files.choice import choose_channel, choose_stack, first_readable, refuse_foreign, unfolded
from qpi_live.camera.files.contents import Contents, Facts, Stack, Values
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import GreyImage, read_values, to_grey
from qpi_live.camera.files.tiff_page import without_colour
from qpi_live.camera.files.writers.manifest import is_recording
from qpi_live.camera.optics import Optics

BUNDLED = "glioblastoma"
# Its source says 3.75 µm a pixel but not in which plane, so no scale is claimed.
_BUNDLED_OPTICS = Optics(wavelength_m=533e-9)
_SAMPLED_FRAMES = 8  # spread over a recording, to learn its bit depth without reading all of it

_READERS = "qpi_live.camera.files.readers"
_BY_CONTENT = {
    b"II*\0": "tiff_file:open_tiff",
    b"MM\0*": "tiff_file:open_tiff",
    b"II+\0": "tiff_file:open_tiff",
    b"MM\0+": "tiff_file:open_tiff",
    b"\x89HDF\r\n\x1a\n": "hdf5_file:open_hdf5",
    b"\x93NUMPY": "flat_file:open_npy",
    b"PK\x03\x04": "flat_file:open_npz",
}
_BY_SUFFIX = {
    **dict.fromkeys((".tif", ".tiff"), "tiff_file:open_tiff"),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5", ".nxs", ".ims", ".mat"), "hdf5_file:open_hdf5"),
    ".ome": "tiff_file:open_companion",
    ".npy": "flat_file:open_npy",
    ".npz": "flat_file:open_npz",
    **dict.fromkeys((".avi", ".mp4", ".mov", ".mkv"), "video_file:open_video"),
    **dict.fromkeys((".raw", ".bin", ".dat"), "flat_file:open_raw"),
}
Result = TypeVar("Result")

_ZIPPED_ZARR = (".zip", ".ozx")  # .zarr.zip, and OME-Zarr's own name for it
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_EXTRAS = {"zarr": "files", "av": "video"}


@dataclass(frozen=True, slots=True)
class Recording:
    """A sequence of interferograms of one size.

    Attributes:
        name: what a user would call it.
        frames: how many there are, whole.
        read: the frame of an index below `frames`; raises `ImageFileError` if that one cannot be read.
        title: what a user would call a frame, by its index.
        shape: (H, W) of every frame, in pixels.
        bit_depth: as the file states it, or the least that holds the largest grey value seen in a few frames.
        optics: as the file states them, or None.
        frame_rate_hz: as the file states it, or its time stamps have it, or None.
        remark: what was left out, chosen or found missing, in sentences; "" where nothing was.
        watch: notices when the files change.
        close: lets go of the files.
        time_s: when a frame was taken, in s of any clock: by its own time stamp, else by the rate that the file states;
            None where neither is known.
    """

    name: str
    frames: int
    read: Callable[[int], GreyImage]
    title: Callable[[int], str]
    shape: tuple[int, int]
    bit_depth: int
    optics: Optics | None
    frame_rate_hz: float | None
    remark: str
    watch: Watch
    close: Callable[[], None]
    time_s: Callable[[int], float | None] = lambda _: None


def is_bundled(address: str) -> bool:
    """Whether an address means the bundled hologram."""
    return address in ("", BUNDLED)


def open_recording(address: str, channel: str = "") -> Recording:
    """The recording at a path, `PATH::NAME` for one of several datasets in it, or the bundled `glioblastoma` hologram.

    Args:
        address: where it lies.
        channel: name or number of the channel with the holograms; "" finds it.

    Raises:
        ImageFileError: nothing there, nothing that is a recording, or it is not clear which part of it is meant.
    """
    contents = list_contents(address)
    try:
        return recording_of(address, contents, channel)
    except BaseException:
        contents.close()
        raise


def recording_of(address: str, contents: Contents, channel: str = "") -> Recording:
    """What is played of the `contents` that `list_contents` found at an address; see `open_recording`.

    Raises:
        ImageFileError: it is not clear which part of it is meant, or that is no recording of holograms.
    """
    path, wanted = split_address(address)
    return _named(path, lambda: _recording(path, contents, Watch(contents.watched), wanted, channel))


def split_address(address: str) -> tuple[Path, str]:
    """The path in an address, and the name behind `::`, "" where there is none."""
    if is_bundled(address):
        return Path(str(files("qpi_live.camera") / "data" / "glioblastoma.jpg")), ""
    path = Path(address).expanduser()
    if "::" not in address or path.exists():
        return path, ""
    before, _, name = address.rpartition("::")
    return Path(before).expanduser(), name


def list_contents(address: str) -> Contents:
    """All that the file or folder at an address holds; see `open_recording`.

    Raises:
        ImageFileError: nothing there, or nothing that is a recording.
    """
    path, _ = split_address(address)
    if not path.exists():
        raise ImageFileError(f"expected a recording at {path}, got nothing there; give a file or a folder of images")
    contents = _named(path, lambda: _opener(path)(path))
    if is_bundled(address):
        return replace(contents, stacks=tuple(replace(s, facts=Facts(_BUNDLED_OPTICS)) for s in contents.stacks))
    return contents


def _named(path: Path, do: Callable[[], Result]) -> Result:
    """What `do` gives; its errors become sentences that begin with the file's name."""
    try:
        return do()
    except ImageFileError as error:
        said = str(error)
        raise ImageFileError(said if said.startswith(path.name) else f"{path.name}: {said}") from error
    except Exception as error:  # h5py, tifffile, zarr and NumPy each have their own ways to refuse a broken file
        raise ImageFileError(f"{path.name}: expected a readable recording, got an error ({error})") from error


def _opener(path: Path) -> Callable[[Path], Contents]:
    if path.is_dir():
        if is_recording(path):
            return _loaded("recorded_folder:open_recorded")
        is_zarr = any((path / name).is_file() for name in _ZARR_FILES)
        return _loaded("zarr_store:open_zarr" if is_zarr else "folder:open_folder")
    try:
        with path.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise ImageFileError(f"expected a readable file, got: {error.strerror or error}") from error
    if begin.startswith(b"PK") and path.suffix.lower() in _ZIPPED_ZARR:
        return _loaded("zarr_store:open_zipped_zarr")
    by_content = next((opener for magic, opener in _BY_CONTENT.items() if begin.startswith(magic)), None)
    chosen = by_content or _BY_SUFFIX.get(path.suffix.lower())
    return _loaded(chosen) if chosen else _open_image


def _loaded(opener: str) -> Callable[[Path], Contents]:
    module, _, name = opener.partition(":")
    try:
        found: Callable[[Path], Contents] = getattr(import_module(f"{_READERS}.{module}"), name)
    except ModuleNotFoundError as missing:
        extra = _EXTRAS.get(str(missing.name).partition(".")[0])
        remedy = f"pip install 'qpi-live[{extra}]'" if extra else "reinstall qpi-live"
        raise ImageFileError(f"this kind of file needs the package {missing.name!r}: {remedy}") from missing
    return found


def _open_image(path: Path) -> Contents:
    values = read_values(path)
    height, width = to_grey(values, may_miss=True).pixels.shape
    stack = Stack("", (height, width), values.dtype.name, 1, lambda *_: values, promised=1, title=lambda _: path.name)
    return Contents("image", (stack,), (path,))


def _recording(path: Path, contents: Contents, watch: Watch, wanted: str, wanted_channel: str) -> Recording:
    stack, about_stack = choose_stack(contents, wanted)
    refuse_foreign(stack.facts)
    stack = unfolded(stack)
    channel, about_channel = choose_channel(stack, wanted_channel)
    first = _grey(first_readable(stack, channel))
    height, width = first.pixels.shape
    optics, wavelength_m = stack.facts.optics, stack.channels[channel].wavelength_m
    if wavelength_m is not None and (optics is None or optics.wavelength_m is None):
        with suppress(ValueError):
            optics = replace(optics or Optics(None), wavelength_m=wavelength_m)
    missing, rate_hz = stack.promised - stack.frames, stack.facts.frame_rate_hz
    cut = (
        f"{stack.frames} of {stack.promised} frames; the file is truncated, or still being written."
        if missing > 0
        else ""
    )
    return Recording(
        name=path.stem if contents.kind == "image" else path.name,
        frames=stack.frames,
        read=lambda index: _grey(stack.plane(index, channel)),
        title=stack.title,
        shape=(height, width),
        bit_depth=max(first.bit_depth, stack.facts.bit_depth or _sampled_depth(stack, channel)),
        optics=optics,
        frame_rate_hz=rate_hz,
        remark=" ".join(part for part in (cut, about_channel, about_stack, stack.remark) if part),
        watch=watch,
        close=contents.close,
        time_s=stack.time_s or (lambda index: index / rate_hz if rate_hz else None),
    )


def _grey(values: Values) -> GreyImage:
    if values.ndim == 3:
        values = without_colour(values, 2, 3 if values.shape[2] >= 3 else 1)
    return to_grey(values, may_miss=True)


def _sampled_depth(stack: Stack, channel: int) -> int:
    deepest = 8
    for index in np.unique(np.linspace(0, stack.frames - 1, min(stack.frames, _SAMPLED_FRAMES)).astype(int)):
        with suppress(ImageFileError):  # a frame that cannot be read is counted when its turn comes
            deepest = max(deepest, _grey(stack.plane(int(index), channel)).bit_depth)
    return deepest
