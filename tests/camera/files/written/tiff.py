"""Tiny recordings in TIFF, as tifffile, ImageJ and OME write them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tifffile

from tests.camera.files.written.stack import INTERVAL_S, PIXEL_M, Stack, hologram_and_fluorescence


def tiff(**options: Any) -> Callable[[Path, Stack], str]:
    def write(folder: Path, stack: Stack) -> str:
        tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack", **options)
        return str(folder / "stack.tif")

    return write


def tiff_page_by_page(folder: Path, stack: Stack) -> str:
    with tifffile.TiffWriter(folder / "pages.tif") as writer:
        for frame in stack:
            writer.write(frame, contiguous=False, metadata=None)
    return str(folder / "pages.tif")


def tiff_with_thumbnails(folder: Path, stack: Stack) -> str:
    with tifffile.TiffWriter(folder / "thumbnails.tif") as writer:
        for frame in stack:
            writer.write(frame, contiguous=False, metadata=None)
            writer.write(frame[::2, ::2], contiguous=False, metadata=None, subfiletype=1)
    return str(folder / "thumbnails.tif")


def imagej_one_page(folder: Path, stack: Stack) -> str:
    """As ImageJ writes stacks beyond 4 GB: one page, and all other images behind it."""
    path = folder / "large.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"}, byteorder=">")
    with tifffile.TiffFile(path) as tiff:
        next_page = tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
    data = bytearray(path.read_bytes())
    data[next_page : next_page + 4] = bytes(4)
    path.write_bytes(data)
    return str(path)


def imagej_channels(folder: Path, stack: Stack) -> str:
    tifffile.imwrite(
        folder / "hyper.tif",
        hologram_and_fluorescence(stack),
        imagej=True,
        resolution=(1 / (PIXEL_M * 1e6), 1 / (PIXEL_M * 1e6)),
        metadata={"axes": "TCYX", "unit": "um", "finterval": INTERVAL_S, "Labels": ["hologram", "GFP"] * len(stack)},
    )
    return str(folder / "hyper.tif")


_OME = {
    "axes": "TCYX",
    "PhysicalSizeX": PIXEL_M * 1e6,
    "PhysicalSizeXUnit": "µm",
    "TimeIncrement": INTERVAL_S,
    "TimeIncrementUnit": "s",
    "Channel": {"Name": ["GFP", "holo 532"]},
}


def ome_channels(folder: Path, stack: Stack) -> str:
    both = hologram_and_fluorescence(stack)[:, ::-1]
    tifffile.imwrite(folder / "two.ome.tif", both, photometric="minisblack", metadata=_OME)
    return str(folder / "two.ome.tif")


def ome_over_files(folder: Path, stack: Stack) -> str:
    """One file a plane; each file's description names all the others."""
    height, width = stack.shape[1:]
    names = [f"run_T{time:03d}.ome.tif" for time in range(len(stack))]
    blocks = "".join(
        f'<TiffData FirstT="{time}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{uuid.uuid4()}</UUID></TiffData>'
        for time, name in enumerate(names)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0" Name="run"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        f'Type="{stack.dtype.name}" SizeX="{width}" SizeY="{height}" SizeZ="1" SizeC="1" SizeT="{len(stack)}" '
        f'PhysicalSizeX="{PIXEL_M * 1e6}" TimeIncrement="{INTERVAL_S * 1000}" TimeIncrementUnit="ms">'
        f'<Channel ID="Channel:0:0" Name="holo" ExcitationWavelength="532"/>{blocks}</Pixels></Image></OME>'
    )
    for name, frame in zip(names, stack, strict=True):
        tifffile.imwrite(folder / name, frame, photometric="minisblack", description=xml.encode(), metadata=None)
    return str(folder / names[0])


def ome_folder(folder: Path, stack: Stack) -> str:
    ome_over_files(folder, stack)
    return str(folder)


def ome_companion(folder: Path, stack: Stack) -> str:
    """A companion file with the description, and one TIFF a time beside it, which only points to it."""
    for number, frame in enumerate(stack):
        pointer = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
            '<BinaryOnly MetadataFile="run.companion.ome" UUID="urn:uuid:2"/></OME>'
        )
        tifffile.imwrite(folder / f"run_{number}.ome.tif", frame, description=pointer, metadata=None)
    height, width = stack.shape[1:]
    data = "".join(
        f'<TiffData FirstT="{number}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="run_{number}.ome.tif">urn:x</UUID></TiffData>'
        for number in range(len(stack))
    )
    (folder / "run.companion.ome").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels DimensionOrder="XYZCT" Type="{stack.dtype.name}" SizeX="{width}" '
        f'SizeY="{height}" SizeZ="1" SizeC="1" SizeT="{len(stack)}" PhysicalSizeX="{PIXEL_M * 1e6}" '
        f'TimeIncrement="{INTERVAL_S}">{data}</Pixels></Image></OME>',
        "utf-8",
    )
    return str(folder / "run.companion.ome")
