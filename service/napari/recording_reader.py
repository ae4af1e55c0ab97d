"""Opens recordings and archives in napari: each frame is read from the disk when it is looked at.

Recordings of this program (folders), OME-TIFF, OME-Zarr and HDF5, with their scale, frame rate and channels. What is
none of these is left to napari's other readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import dask.array
import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.files.contents import Contents, Stack
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.recorded_folder import open_layer
from qpi_live.camera.files.recording import list_contents
from qpi_live.camera.files.writers.manifest import Manifest, is_recording
from qpi_live.service.napari.scale import series_scale

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]
_SUFFIXES = (".ome.tif", ".ome.tiff", ".ozx", ".zarr", ".zarr.zip", ".h5")
_LAYERS = ("interferogram", "phase")


def reader_of(path: str | Sequence[str]) -> Reader | None:
    """What opens `path` for napari; None where it is no recording or archive."""
    one = path if isinstance(path, str) else path[0] if len(path) == 1 else ""
    if not one or not (is_recording(Path(one)) or str(one).lower().rstrip("/\\").endswith(_SUFFIXES)):
        return None
    return read_layers


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """A layer for each stack and channel at `path`, axes (t, y, x), values as stored: rad, or grey values.

    Raises:
        ImageFileError: it cannot be read; the text says why.
    """
    where = Path(path if isinstance(path, str) else path[0])
    if not is_recording(where):
        return list(_layers(where, "", list_contents(str(where))))
    recorded = [name for name in _LAYERS if name in Manifest.read(where).layers]
    return [layer for name in recorded for layer in _layers(where, name, open_layer(where, name))]


def _layers(path: Path, name: str, contents: Contents) -> Iterator[LayerData]:
    files = _Files(contents)
    for stack in contents.stacks:
        for channel, about in enumerate(stack.channels):
            said = " ".join(part for part in (path.name, stack.name.strip("/"), name or about.name) if part)
            optics = stack.facts.optics
            scale, units = series_scale(optics.object_pixel_m if optics else None, stack.facts.frame_rate_hz)
            frames = _Frames(stack, channel, files)
            pixels = dask.array.from_array(frames, chunks=(1, *frames.shape[1:]), name=False, meta=frames.meta)
            is_phase = frames.dtype.kind == "f"
            options = {
                "name": said,
                "scale": scale,
                "units": units,
                "colormap": "viridis" if is_phase else "gray",
                "metadata": {"qpi_path": str(path), "qpi_remark": stack.remark, "qpi_unit": "rad" if is_phase else ""},
            }
            yield pixels, options | _limits(frames), "image"


class _Files:
    """Open files, closed with the last layer that shows something of them."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self.reading = Lock()  # dask's threads share a file's place, and would get each other's frames

    def __del__(self) -> None:
        self._contents.close()


class _Frames:
    """The frames of one channel as an array (frames, H, W) that is read from the disk, frame by frame."""

    ndim = 3

    def __init__(self, stack: Stack, channel: int, files: _Files) -> None:
        self._stack, self._channel, self._files = stack, channel, files
        self.dtype = np.dtype(stack.dtype)
        self.shape = (stack.frames, *stack.shape)
        self.meta = np.empty((0, 0, 0), self.dtype)

    def __getitem__(self, where: tuple[Any, ...]) -> NDArray[Any]:
        frames, *inside = where if isinstance(where, tuple) else (where,)
        if isinstance(frames, slice):
            return np.stack([self._frame(frame)[tuple(inside)] for frame in range(*frames.indices(self.shape[0]))])
        return np.asarray(self._frame(int(frames))[tuple(inside)])

    def _frame(self, frame: int) -> NDArray[Any]:
        with self._files.reading:
            plane = np.asarray(self._stack.plane(frame, self._channel))
        return plane if plane.ndim == 2 else plane.mean(axis=2).astype(self.dtype)


def _limits(frames: _Frames) -> dict[str, tuple[float, float]]:
    """Contrast limits of the first frame that can be read; left to napari where none can."""
    for frame in range(min(frames.shape[0], 3)):
        try:
            values = frames[frame, ::4, ::4].astype(np.float64)
        except ImageFileError:
            continue
        if np.isfinite(values).any():
            low, high = (float(limit) for limit in np.nanpercentile(values[np.isfinite(values)], (0.2, 99.8)))
            return {"contrast_limits": (low, high)} if high > low else {}
    return {}
