"""One layer of a recording on its way to the disk: images in files of one format, and a list of the frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.files.writers.frame_list import FrameList, entry_of
from qpi_live.camera.files.writers.layer_files import LayerFiles, data_to_disk
from qpi_live.camera.files.writers.layer_names import Format, list_name
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.tiff_parts import TiffParts
from qpi_live.camera.files.writers.zarr_parts import ZarrParts
from qpi_live.camera.frame import Frame


class RecordedLayer:
    """Writes one layer's frames; one thread appends, another may `sync`.

    Args:
        folder: the recording's.
        layer: its name.
        manifest: of the recording.
        most_file_bytes: where a TIFF ends and the next begins, at most 4 GiB; None: one file of any size.
        kind: what the images are written as.

    Attributes:
        frames: written so far.
        bytes: of images, likewise.
    """

    def __init__(
        self,
        folder: Path,
        layer: str,
        manifest: Manifest,
        most_file_bytes: int | None,
        kind: Format = Format.TIFF,
    ) -> None:
        self.frames = self.bytes = 0
        self._list_path = folder / list_name(layer)
        self._list: FrameList | None = FrameList(self._list_path)
        self._images: LayerFiles = (
            ZarrParts(folder, layer, manifest)
            if kind is Format.ZARR
            else TiffParts(folder, layer, manifest, most_file_bytes)
        )
        self._settings: Mapping[str, FeatureValue] | None = None
        self._lists = Lock()  # held while the list is closed: another thread brings it to the disk

    def takes(self, image: NDArray[np.generic]) -> bool:
        """Whether the image is of the first one's size and type."""
        layout = self._images.layout
        return layout is None or (image.shape == layout.shape and image.dtype == layout.dtype)

    def append(self, frame: Frame, image: NDArray[np.generic], made_by: dict[str, Any] | None = None) -> None:
        """Write what is recorded of a frame: its pixels, or the phase that was made of it.

        Raises:
            OSError: the disk is full, gone, or fails; what was written before stands.
        """
        entry = entry_of(frame, image, self.frames, self._images.place(image), self._settings, made_by)
        line = entry.line()
        self._images.append(image, entry, line)
        if self._list is not None:
            try:
                self._list.append(line)
            except OSError:  # a frame is in both or in neither
                self._images.take_back()
                raise
        self._settings = frame.settings or {}
        self.frames += 1
        self.bytes += image.nbytes

    def restate(self) -> None:
        """Bring what the files say of their number of frames up to date."""
        self._images.restate()

    def sync(self) -> None:
        """Wait until all that was appended is on the disk.

        Raises:
            OSError: the disk fails, or the files are not where they were any more.
        """
        self._images.sync()
        with self._lists:
            if self._list is not None:
                data_to_disk(self._list_path, self._list.fileno())

    def close(self) -> None:
        """End the files, on the disk.

        Raises:
            OSError: there is no room for the last words; the frames stand.
        """
        try:
            self._images.close()
        finally:
            with self._lists:
                frames, self._list = self._list, None
            if frames is not None:
                frames.close()
