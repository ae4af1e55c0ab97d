"""Tiny recordings of every kind, made by the programs' and libraries' own writers; nothing of them is committed.

Each function in `WRITERS` writes the frames of a stack (N, H, W) into a folder and gives the address to replay.
"""

from __future__ import annotations

import json
import shutil
import struct
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import h5py
import hdf5plugin
import numpy as np
import tifffile
import zarr
from ndtiff import NDTiffDataset
from PIL import Image

Stack = np.ndarray
PIXEL_M, INTERVAL_S = 0.1e-6, 0.2


def frames(count: int = 6, shape: tuple[int, int] = (36, 48), bits: int = 12) -> Stack:
    """(count, H, W) grey values, each frame different: uint8 up to 8 bits, uint16 above; all bits are used."""
    dtype = np.uint8 if bits <= 8 else np.uint16
    stack = np.random.default_rng(bits).integers(0, 2**bits, (count, *shape)).astype(dtype)
    stack[:, 0, 0] = 2**bits - 1
    return stack


def fluorescence(stack: Stack) -> Stack:
    """Another channel of the same frames, which must never be played."""
    return np.full_like(stack, 7)


def hologram_and_fluorescence(stack: Stack) -> Stack:
    """(N, 2, H, W)"""
    return np.stack([stack, fluorescence(stack)], axis=1)


def _tiff(**options: Any) -> Callable[[Path, Stack], str]:
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


def _micromanager_file(
    path: Path, planes: list[tuple[tuple[int, int, int, int], Stack]], summary: dict[str, Any]
) -> None:
    """A stack file as Micro-Manager 1.4 and 2 lay it: summary, pages with metadata, index map."""
    text = json.dumps(summary).encode()
    body = bytearray(40) + text + b" " * (-len(text) % 4)
    struct.pack_into("<II", body, 32, 2355492, len(text))
    entries, index = [], []
    for position, (where, frame) in enumerate(planes):
        note = json.dumps({"FrameIndex": where[2], "ChannelIndex": where[0]}).encode() + b"\0"
        tags = [
            (256, 4, 1, frame.shape[1]),
            (257, 4, 1, frame.shape[0]),
            (258, 3, 1, 8 * frame.dtype.itemsize),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 0),
            (277, 3, 1, 1),
            (278, 4, 1, frame.shape[0]),
            (279, 4, 1, frame.nbytes),
            (51123, 2, len(note), 0),
        ]
        start = len(body)
        data = start + 2 + 12 * len(tags) + 4
        following = data + frame.nbytes + len(note)
        following += following % 2
        values = {273: data, 51123: data + frame.nbytes}
        body += struct.pack("<H", len(tags))
        for tag, kind, count, value in tags:
            body += struct.pack("<HHII", tag, kind, count, values.get(tag, value))
        body += struct.pack("<I", following if position < len(planes) - 1 else 0)
        body += frame.astype("<u2" if frame.dtype.itemsize == 2 else "u1").tobytes() + note
        body += bytes(following - len(body))
        entries.append(start)
        index.append(struct.pack("<IIIII", *where, start))
    struct.pack_into("<2sHI", body, 0, b"II", 42, entries[0])
    struct.pack_into("<II", body, 8, 54773648, len(body))
    body += struct.pack("<II", 3453623, len(index)) + b"".join(index)
    for at, header in ((16, 483765892), (24, 99384722)):
        struct.pack_into("<II", body, at, header, len(body))
        body += struct.pack("<II", {16: 347834724, 24: 84720485}[at], 2) + b"{}"
    path.write_bytes(body)


def micromanager_split(folder: Path, stack: Stack) -> str:
    """Two channels of one run, split over two files as at 4 GB."""
    summary = {
        "ChNames": ["holo", "DAPI"],
        "Channels": 2,
        "Frames": len(stack),
        "PixelSize_um": PIXEL_M * 1e6,
        "Interval_ms": INTERVAL_S * 1000,
    }
    planes = [
        ((channel, 0, time, 0), image)
        for time, frame in enumerate(stack)
        for channel, image in enumerate((frame, fluorescence(frame)))
    ]
    half = len(planes) // 2 + 1  # in the middle of a frame's two channels
    _micromanager_file(folder / "run_1_MMStack_Pos0.ome.tif", planes[:half], summary)
    _micromanager_file(folder / "run_1_MMStack_Pos0_1.ome.tif", planes[half:], summary)
    return str(folder / "run_1_MMStack_Pos0.ome.tif")


def micromanager_split_folder(folder: Path, stack: Stack) -> str:
    micromanager_split(folder, stack)
    return str(folder)


def micromanager_single_files(folder: Path, stack: Stack) -> str:
    summary = {"ChNames": ["GFP", "holo"], "PixelSize_um": PIXEL_M * 1e6, "Interval_ms": INTERVAL_S * 1000}
    (folder / "metadata.txt").write_text(json.dumps({"Summary": summary}))
    for time, frame in enumerate(stack):
        for channel, image in enumerate((fluorescence(frame), frame)):
            name = f"img_channel{channel:03d}_position000_time{time:09d}_z000.tif"
            tifffile.imwrite(folder / name, image, photometric="minisblack", metadata=None)
    return str(folder)


def ndtiff_run(folder: Path, stack: Stack) -> str:
    summary = {"PixelSize_um": PIXEL_M * 1e6, "Interval_ms": INTERVAL_S * 1000}
    run = NDTiffDataset(str(folder / "run"), summary_metadata=summary, writable=True)
    for time, frame in enumerate(stack):
        run.put_image({"time": time, "channel": "mCherry"}, fluorescence(frame), {})
        run.put_image({"time": time, "channel": "holo"}, frame, {})
    run.finish()
    return str(folder / "run")


def folder_of_images(folder: Path, stack: Stack) -> str:
    """With all that is found in such folders: a Mac's and Windows' files, notes, a background, fluorescence."""
    for number, frame in enumerate(stack):
        Image.fromarray(frame).save(folder / f"Frame_{number + 8}.png")
    for name in ("._Frame_8.png", "Thumbs.db", ".DS_Store", "desktop.ini", "notes.txt"):
        (folder / name).write_bytes(b"\0\5\x16\7 not an image")
    Image.fromarray(fluorescence(stack)[0]).save(folder / "background.png")
    Image.fromarray(fluorescence(stack)[0]).save(folder / "DAPI_1.png")
    return str(folder)


def folder_of_stacks(folder: Path, stack: Stack) -> str:
    for number, part in enumerate(np.array_split(stack, 3)):
        tifffile.imwrite(folder / f"part{number + 9}.tif", part, photometric="minisblack")
    return str(folder)


def npy(folder: Path, stack: Stack) -> str:
    np.save(folder / "stack.npy", stack)
    return str(folder / "stack.npy")


def npy_fortran(folder: Path, stack: Stack) -> str:
    np.save(folder / "stack.npy", np.asfortranarray(stack))
    return str(folder / "stack.npy")


def npy_big_endian(folder: Path, stack: Stack) -> str:
    np.save(folder / "stack.npy", stack.astype(stack.dtype.newbyteorder(">")))
    return str(folder / "stack.npy")


def npz(folder: Path, stack: Stack) -> str:
    np.savez(folder / "arrays.npz", background=stack[0], dark=stack[1], hologram=stack)
    return str(folder / "arrays.npz")


def npz_compressed_by_name(folder: Path, stack: Stack) -> str:
    np.savez_compressed(folder / "arrays.npz", a=fluorescence(stack), b=stack)
    return f"{folder / 'arrays.npz'}::b"


def _hdf5(name: str, **options: Any) -> Callable[[Path, Stack], str]:
    def write(folder: Path, stack: Stack) -> str:
        with h5py.File(folder / "any.h5", "w") as file:
            file.create_dataset(name, data=stack, **options)
            file["temperature"] = np.zeros(100)
        return str(folder / "any.h5")

    return write


def matlab(folder: Path, stack: Stack) -> str:
    """As MATLAB 7.3 saves an array of size [H W N]: in HDF5, behind 512 bytes of its own, axes the other way round."""
    with h5py.File(folder / "stack.mat", "w", userblock_size=512) as file:
        data = file.create_dataset("holograms", data=stack.transpose(0, 2, 1))
        data.attrs["MATLAB_class"] = np.bytes_("uint16")
    with (folder / "stack.mat").open("r+b") as whole:
        whole.write(b"MATLAB 7.3 MAT-file".ljust(512))
    return str(folder / "stack.mat")


def hdf5_by_name(folder: Path, stack: Stack) -> str:
    with h5py.File(folder / "several.h5", "w") as file:
        file["a/left"] = fluorescence(stack)
        file["a/right"] = stack
    return f"{folder / 'several.h5'}::/a/right"


def qpformat(folder: Path, stack: Stack) -> str:
    """Numbered datasets with attributes in SI units."""
    with h5py.File(folder / "series.h5", "w") as file:
        file.attrs["file_format"] = "qpformat"
        file.attrs["imaging_modality"] = "off-axis holography"
        for number, frame in enumerate(stack):
            file[str(number)] = frame
            file[str(number)].attrs.update(
                {"pixel size": PIXEL_M, "wavelength": 532e-9, "numerical aperture": 0.65, "time": number * INTERVAL_S}
            )
    return str(folder / "series.h5")


def hdf5_swmr(folder: Path, stack: Stack) -> str:
    """As a detector writes it: a dataset with room for more frames than there are."""
    with h5py.File(folder / "live.h5", "w", libver="latest") as file:
        data = file.create_dataset("data", (0, *stack.shape[1:]), stack.dtype, maxshape=(None, *stack.shape[1:]))
        file.swmr_mode = True
        for number, frame in enumerate(stack):
            data.resize(number + 1, axis=0)
            data[number] = frame
            data.flush()
    return str(folder / "live.h5")


def ome_zarr(folder: Path, stack: Stack, version: str = "0.4", **options: Any) -> str:
    """Axes t, c, z, y, x with scale, channels by `omero`."""
    path = folder / "image.ome.zarr"
    both = hologram_and_fluorescence(stack)[:, ::-1, None]
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=both, chunks=(1, 1, 1, 20, 32), **options)
    group.create_array("1", data=both[..., ::2, ::2], chunks=(1, 1, 1, 20, 32))
    kinds = {"t": ("time", "second"), "c": ("channel", None), "z": ("space", "micrometer")}
    axes = [
        {"name": name, "type": kind} | ({"unit": unit} if unit else {})
        for name in "tczyx"
        for kind, unit in [kinds.get(name, kinds["z"])]
    ]
    levels = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 1, 1, PIXEL_M * 1e6 * 2**level, PIXEL_M * 1e6 * 2**level]}
            ],
        }
        for level in (0, 1)
    ]
    whole = [{"type": "scale", "scale": [INTERVAL_S, 1, 1, 1, 1]}]
    stated: dict[str, Any] = {
        "multiscales": [{"version": version, "axes": axes, "datasets": levels, "coordinateTransformations": whole}],
        "omero": {"channels": [{"label": "RFP"}, {"label": "hologram"}]},
    }
    group.attrs.update(stated if version == "0.4" else {"ome": {"version": version, **stated}})
    return str(path)


def ome_zarr_05(folder: Path, stack: Stack) -> str:
    return ome_zarr(folder, stack, "0.5")


def ome_zarr_05_shards(folder: Path, stack: Stack) -> str:
    return ome_zarr(folder, stack, "0.5", shards=(1, 2, 1, 40, 64))


def _zipped(folder: Path, written: str, name: str, top: str = "") -> str:
    """The Zarr folder at `written` as one file, its folder gone."""
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(Path(written).rglob("*")):
            if file.is_file():
                packed.write(file, Path(top) / file.relative_to(written))
    shutil.rmtree(written)
    return str(folder / name)


def ome_zarr_zipped(folder: Path, stack: Stack) -> str:
    return _zipped(folder, ome_zarr(folder, stack), "image.zarr.zip", "image.ome.zarr")


def ome_zarr_05_zipped(folder: Path, stack: Stack) -> str:
    return _zipped(folder, ome_zarr_05(folder, stack), "image.ozx")


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


def plain_zarr(folder: Path, stack: Stack) -> str:
    array = zarr.create_array(str(folder / "plain.zarr"), shape=stack.shape, chunks=(2, 36, 48), dtype=stack.dtype)
    array[:] = stack
    return str(folder / "plain.zarr")


def raw(folder: Path, stack: Stack) -> str:
    (folder / "frames.raw").write_bytes(b"HEADER.." + b"".join(frame.tobytes() + b"++++" for frame in stack))
    sidecar = {"shape": stack.shape, "dtype": stack.dtype.name, "offset": 8, "gap": 4, "wavelength_nm": 532}
    sidecar |= {"pixel_um": PIXEL_M * 1e6, "interval_s": INTERVAL_S, "bit_depth": 12}
    (folder / "frames.json").write_text(json.dumps(sidecar))
    return str(folder / "frames.raw")


def _video(codec: str, pixels: str, name: str) -> Callable[[Path, Stack], str]:
    def write(folder: Path, stack: Stack) -> str:
        path = folder / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=5)
            stream.height, stream.width = stack.shape[1:]
            stream.pix_fmt = pixels
            for frame in stack:
                values = np.stack([frame] * 3, axis=-1) if pixels == "rgb24" else frame
                container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format=pixels)))
            container.mux(stream.encode())
        return str(path)

    return write


WRITERS: dict[str, Callable[[Path, Stack], str]] = {
    "TIFF": _tiff(),
    "TIFF without a description": _tiff(metadata=None),
    "TIFF, big endian": _tiff(byteorder=">"),
    "TIFF, deflated with a predictor": _tiff(compression="zlib", predictor=True),
    "TIFF, LZW": _tiff(compression="lzw"),
    "TIFF, tiles": _tiff(tile=(16, 16), compression="zlib"),
    "TIFF, page by page": tiff_page_by_page,
    "TIFF with thumbnails": tiff_with_thumbnails,
    "BigTIFF": _tiff(bigtiff=True),
    "OME-TIFF": _tiff(ome=True, metadata={"axes": "TYX"}),
    "OME-TIFF of nameless channels": _tiff(ome=True),
    "OME-TIFF, two channels": ome_channels,
    "OME-TIFF over several files": ome_over_files,
    "folder of an OME-TIFF over several files": ome_folder,
    "ImageJ": _tiff(imagej=True, metadata={"axes": "TYX"}),
    "ImageJ, series as channels": _tiff(imagej=True),
    "ImageJ beyond 4 GB": imagej_one_page,
    "ImageJ, two channels": imagej_channels,
    "Micro-Manager, split": micromanager_split,
    "folder of a Micro-Manager run, split": micromanager_split_folder,
    "Micro-Manager, single files": micromanager_single_files,
    "NDTiff": ndtiff_run,
    "folder of images": folder_of_images,
    "folder of stacks": folder_of_stacks,
    "npy": npy,
    "npy, Fortran order": npy_fortran,
    "npy, big endian": npy_big_endian,
    "npz": npz,
    "npz, compressed, by name": npz_compressed_by_name,
    "HDF5": _hdf5("entry/images"),
    "HDF5, gzip": _hdf5("images", chunks=(1, 20, 48), compression="gzip"),
    "HDF5, zstd": _hdf5("data", chunks=(1, 36, 48), **hdf5plugin.Zstd()),
    "HDF5, Blosc": _hdf5("data", chunks=(2, 36, 48), **hdf5plugin.Blosc()),
    "HDF5, bitshuffle": _hdf5("data", chunks=(1, 36, 48), **hdf5plugin.Bitshuffle()),
    "HDF5, by name": hdf5_by_name,
    "HDF5, SWMR": hdf5_swmr,
    "HDF5 of MATLAB": matlab,
    "HDF5 of qpformat": qpformat,
    "OME-Zarr 0.4": ome_zarr,
    "OME-Zarr 0.5": ome_zarr_05,
    "OME-Zarr 0.5, shards": ome_zarr_05_shards,
    "OME-Zarr 0.4, zipped": ome_zarr_zipped,
    "OME-Zarr 0.5, zipped": ome_zarr_05_zipped,
    "OME-TIFF by its companion": ome_companion,
    "Zarr": plain_zarr,
    "raw frames": raw,
    "video, FFV1 of 16 bits": _video("ffv1", "gray16le", "video.mkv"),
}

EIGHT_BIT_WRITERS: dict[str, Callable[[Path, Stack], str]] = {
    "AVI, uncompressed": _video("rawvideo", "gray", "video.avi"),
    "AVI, FFV1": _video("ffv1", "gray", "video.avi"),
    "AVI, Huffyuv of RGB": _video("huffyuv", "rgb24", "video.avi"),
    "MOV, PNG": _video("png", "gray", "video.mov"),
}
STATED = ["OME-TIFF, two channels", "OME-TIFF over several files", "ImageJ, two channels", "Micro-Manager, split"]
STATED += ["Micro-Manager, single files", "NDTiff", "HDF5 of qpformat", "OME-Zarr 0.4", "OME-Zarr 0.5", "raw frames"]
STATED += ["OME-Zarr 0.4, zipped", "OME-Zarr 0.5, zipped", "OME-TIFF by its companion"]
LIGHT = ["OME-TIFF over several files", "HDF5 of qpformat", "raw frames"]  # those that state the wavelength
