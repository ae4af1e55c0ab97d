"""Recordings on disk, frame by frame: TIFF stacks, folders of images, `.npy`, `.npz`, HDF5, and single images.

A recording is opened without being read: big stacks stay on disk, one frame at a time comes into memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.image_file import GreyImage, read_image, to_grey
from qpi_live.camera.files.tiff_page import tiff_page
from qpi_live.camera.optics import Optics

_IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy")
# Its source says 3.75 µm a pixel but not in which plane, so no scale is claimed.
_GLIOBLASTOMA_OPTICS = Optics(wavelength_m=533e-9)
_SAMPLED_FRAMES = 8  # spread over a recording, to learn its bit depth without reading all of it


@dataclass(frozen=True, slots=True)
class Recording:
    """A sequence of interferograms of one size.

    Attributes:
        name: what a person would call it.
        frames: how many there are.
        read: the frame of an index below `frames`; raises `ImageFileError` if that one cannot be read.
        shape: (H, W) of every frame, in pixels.
        bit_depth: the least that holds the largest grey value seen in a few frames spread over the recording.
        optics: as the file states them, or None.
        frame_rate_hz: as the file's time stamps have it, or None.
        close: lets go of the file.
    """

    name: str
    frames: int
    read: Callable[[int], GreyImage]
    shape: tuple[int, int]
    bit_depth: int
    optics: Optics | None
    frame_rate_hz: float | None
    close: Callable[[], None]


def open_recording(address: str) -> Recording:
    """The recording at a path, or the bundled `glioblastoma` hologram.

    Raises:
        ImageFileError: nothing there, or nothing that is a recording.
    """
    if address in ("", "glioblastoma"):
        bundled = Path(str(files("qpi_live.camera") / "data" / "glioblastoma.jpg"))
        return _described(bundled.stem, 1, _held(read_image(bundled)), optics=_GLIOBLASTOMA_OPTICS)
    path = Path(address).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise ImageFileError(f"expected a recording at {path}, got nothing there; give a file or a folder of images")
    openers = {
        (".tif", ".tiff"): _open_tiff,
        (".npy",): _open_npy,
        (".npz",): _open_npz,
        (".h5", ".hdf5"): _open_hdf5,
    }
    for suffixes, opener in openers.items():
        if path.suffix.lower() in suffixes:
            try:
                return opener(path)
            except ImageFileError as error:
                raise ImageFileError(f"{path.name}: {error}") from error
            except Exception as error:  # h5py, tifffile and NumPy each have their own ways to refuse a broken file
                raise ImageFileError(f"{path.name}: expected a readable recording, got an error ({error})") from error
    return _described(path.name, 1, _held(read_image(path)))


def _described(
    name: str,
    frames: int,
    read: Callable[[int], GreyImage],
    *,
    optics: Optics | None = None,
    frame_rate_hz: float | None = None,
    close: Callable[[], None] = lambda: None,
) -> Recording:
    """A recording whose size and bit depth are learnt from a few of its frames."""
    if frames == 0:
        raise ImageFileError("expected a recording of at least one frame, got none")
    first = read(0)
    bit_depth = first.bit_depth
    if frames == 1:
        read = _held(first)
    for index in np.unique(np.linspace(0, frames - 1, min(frames, _SAMPLED_FRAMES)).astype(int))[1:]:
        with suppress(ImageFileError):  # a frame that cannot be read is counted when its turn comes
            bit_depth = max(bit_depth, read(int(index)).bit_depth)
    height, width = first.pixels.shape
    return Recording(name, frames, read, (height, width), bit_depth, optics, frame_rate_hz, close)


def _held(image: GreyImage) -> Callable[[int], GreyImage]:
    return lambda _: image


def _open_folder(path: Path) -> Recording:
    images = sorted((file for file in path.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES), key=_natural)
    if not images:
        raise ImageFileError(f"expected images ({', '.join(_IMAGE_SUFFIXES)}) in {path}, got none")
    return _described(path.name, len(images), lambda index: read_image(images[index]))


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """A sort key that puts frame 10 after frame 9."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def _open_tiff(path: Path) -> Recording:
    tiff = tifffile.TiffFile(path)
    rate_hz = _imagej_rate_hz(tiff)
    stack = _contiguous_stack(tiff, path)
    if stack is not None:
        tiff.close()
        return _described(path.name, len(stack), _frames_of(stack), frame_rate_hz=rate_hz)
    # Thumbnails and pyramid levels are pages too; the frames are those of the first page's size.
    indices = [k for k, page in enumerate(tiff.pages) if page.shape == tiff.pages[0].shape]

    def read(index: int) -> GreyImage:
        try:
            return to_grey(tiff_page(tiff.pages[indices[index]]))
        except ImageFileError:
            raise
        except Exception as error:  # see `camera.files.image_file`: tifffile's ways to trip are many
            raise ImageFileError(f"{path.name}: expected a sound page {index}, got an error ({error})") from error

    return _described(path.name, len(indices), read, frame_rate_hz=rate_hz, close=tiff.close)


def _contiguous_stack(tiff: tifffile.TiffFile, path: Path) -> NDArray[np.generic] | None:
    """The frames that ImageJ writes behind a single page, mapped from the disk; None where pages are the frames."""
    series = tiff.series[0]
    if len(tiff.pages) != 1 or series.dataoffset is None or series.axes[-2:] != "YX" or len(series.shape) < 3:
        return None
    count = int(np.prod(series.shape[:-2]))
    if series.dataoffset + series.nbytes > path.stat().st_size:
        return None  # the description promises more than the file holds
    dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
    return np.memmap(path, dtype, "r", series.dataoffset, (count, *series.shape[-2:]))


def _imagej_rate_hz(tiff: tifffile.TiffFile) -> float | None:
    interval_s = (tiff.imagej_metadata or {}).get("finterval")
    return 1 / interval_s if isinstance(interval_s, int | float) and interval_s > 0 else None


def _open_npy(path: Path) -> Recording:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim not in (2, 3):
        raise ImageFileError(f"expected an array (H, W) or (frames, H, W), got shape {values.shape}")
    stack = values if values.ndim == 3 else values[None]
    return _described(path.name, len(stack), _frames_of(stack))


def _open_npz(path: Path) -> Recording:
    with np.load(path, allow_pickle=False) as archive:
        names = [name for name in ("data", *archive.files) if name in archive.files]
        if not names:
            raise ImageFileError("expected an array in the archive, got none")
        values = archive[names[0]]
    if values.ndim not in (2, 3):
        raise ImageFileError(f"expected array {names[0]!r} as (H, W) or (frames, H, W), got shape {values.shape}")
    stack = values if values.ndim == 3 else values[None]
    return _described(path.name, len(stack), _frames_of(stack))


def _frames_of(stack: Sequence[NDArray[np.generic]] | NDArray[np.generic]) -> Callable[[int], GreyImage]:
    return lambda index: to_grey(np.asarray(stack[index]))


def _open_hdf5(path: Path) -> Recording:
    """qpformat's layout of raw off-axis holograms: datasets "0", "1", …, with attributes in SI units."""
    file = h5py.File(path, "r")
    names = sorted((name for name in file if name.isdecimal() and isinstance(file[name], h5py.Dataset)), key=int)
    if not names:
        found = ", ".join(file) or "nothing"
        file.close()
        raise ImageFileError(f'expected datasets "0", "1", … as qpformat writes them, got {found}')
    attributes = {**file.attrs, **file[names[0]].attrs}

    def read(index: int) -> GreyImage:
        try:
            return to_grey(np.asarray(file[names[index]]))
        except (OSError, KeyError, RuntimeError) as error:
            raise ImageFileError(f"{path.name}: expected a sound frame {index}, got an error ({error})") from error

    times_s = [float(file[name].attrs["time"]) for name in (names[0], names[-1]) if "time" in file[name].attrs]
    lasted_s = times_s[-1] - times_s[0] if len(times_s) == 2 else 0.0
    return _described(
        path.name,
        len(names),
        read,
        optics=_qpformat_optics(attributes),
        frame_rate_hz=(len(names) - 1) / lasted_s if lasted_s > 0 else None,
        close=file.close,
    )


def _qpformat_optics(attributes: dict[str, float]) -> Optics | None:
    """Optics of qpformat's attributes; its pixel size is the object's, so the magnification is 1."""
    if "wavelength" not in attributes:
        return None
    pixel_m, aperture = attributes.get("pixel size"), attributes.get("numerical aperture")
    with suppress(ValueError, TypeError):
        return Optics(
            wavelength_m=float(attributes["wavelength"]),
            pixel_pitch_m=None if pixel_m is None else float(pixel_m),
            numerical_aperture=None if aperture is None else float(aperture),
        )
    return None
