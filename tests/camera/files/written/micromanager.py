"""Tiny recordings of Micro-Manager, in its three formats."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import tifffile
from ndtiff import NDTiffDataset

from tests.camera.files.written.stack import INTERVAL_S, PIXEL_M, Stack, fluorescence


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
