"""AVI, MP4, MOV and MKV, through PyAV: the frames of the first video track.

Lossy compression takes away what fringes are made of, so such a file plays with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from qpi_live.camera.files.contents import Contents, Facts, Stack, Values, rate_of
from qpi_live.camera.files.image_bounds import LARGEST_IMAGE_PX, ImageFileError, check_size

_LOSSLESS = {"rawvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "lagarith", "zlib", "mszh"}
_LOSSLESS |= {"png", "tiff", "bmp", "qtrle", "rle", "msrle", "jpegls", "v210", "v410", "r210", "y41p", "yuv4"}
_GREY = ("gray", "gray8", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le", "gray16be")
_COUNTED_BYTES = 2**28  # of larger files the header's own count of frames is taken


@dataclass(slots=True)
class _Track:
    """A video that is decoded forwards; jumps go through the frame before."""

    path: Path
    container: Any = None
    frames: Iterator[Any] = field(default_factory=lambda: iter(()))
    following: int = 0


def open_video(path: Path) -> Contents:
    """The frames of the video at `path`.

    Raises:
        ImageFileError: it cannot be read, or has no video.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context
            check_size((codec.height, codec.width), LARGEST_IMAGE_PX, 4)
            promised, frames = stream.frames, _count(container, stream, path)
            rate_hz = float(stream.average_rate) if stream.average_rate else None
            shape, name, bits = (codec.height, codec.width), codec.name, _bits(codec.format)
    except ImageFileError:
        raise
    except IndexError as error:
        raise ImageFileError("expected a video track, got none") from error
    except Exception as error:  # FFmpeg's errors are many
        raise ImageFileError(f"expected a readable video, got an error ({error})") from error
    track = _Track(path)
    stack = Stack(
        name="",
        shape=shape,
        dtype="uint8" if bits == 8 else "uint16",
        frames=frames,
        plane=lambda frame, _: _decoded(track, frame),
        facts=Facts(frame_rate_hz=rate_of(1 / rate_hz) if rate_hz else None, bit_depth=bits),
        promised=max(promised, frames),
        remark="" if name in _LOSSLESS else f"The video is compressed with loss ({name}): fringes and phase suffer.",
    )
    return Contents(f"video ({name})", (stack,), (path,), lambda: _close(track))


def _bits(pixels: Any) -> int:
    return max((component.bits for component in pixels.components), default=8) if pixels else 8


def _count(container: Any, stream: Any, path: Path) -> int:
    """How many frames there are, without decoding any; of a large file, how many it says it has."""
    if stream.frames and path.stat().st_size > _COUNTED_BYTES:
        return int(stream.frames)
    count = 0
    with suppress(av.FFmpegError):  # a truncated file ends with an error
        for packet in container.demux(stream):
            count += bool(packet.size) and not packet.is_corrupt
    return count


def _decoded(track: _Track, index: int) -> Values:
    if track.container is None or index < track.following:
        _close(track)
        try:
            track.container = av.open(str(track.path))
        except Exception as error:  # FFmpeg's errors are many
            raise ImageFileError(f"expected a readable video, got an error ({error})") from error
        track.frames = _frames(track.container)
        track.following = 0
    found: Any = None
    while track.following <= index:
        found = next(track.frames, None)
        track.following += 1
        if found is None:
            _close(track)
            raise ImageFileError("expected a frame of video, got the end of the file; is it truncated?")
    if isinstance(found, ImageFileError):
        raise found
    return _grey(found)


def _frames(container: Any) -> Iterator[Any]:
    """Frames in the order in which they are shown; an error, not raised, in place of each that is damaged."""
    stream = container.streams.video[0]
    stream.codec_context.options = {"err_detect": "explode"}  # rather than to show the last frame again
    try:
        for packet in container.demux(stream):
            try:
                frames = [] if packet.is_corrupt else packet.decode()
            except Exception as error:  # FFmpeg's errors are many
                yield ImageFileError(f"expected a sound frame of video, got an error ({error})")
                continue
            if packet.is_corrupt:
                yield ImageFileError("expected a whole frame of video, got a damaged one; is the file truncated?")
            yield from frames
    except av.FFmpegError:
        return


def _grey(frame: Any) -> Values:
    """Luminance as it is stored, or the colours of RGB."""
    name, bits = frame.format.name, _bits(frame.format)
    if name in _GREY or name.startswith("yuv"):
        plane = frame.planes[0]
        dtype = np.dtype("u1") if bits == 8 else np.dtype(">u2" if name.endswith("be") else "<u2")
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        return np.ascontiguousarray(rows[:, : plane.width * dtype.itemsize]).view(dtype)
    return np.asarray(frame.to_ndarray(format="rgb24" if bits == 8 else "rgb48le"))


def _close(track: _Track) -> None:
    if track.container is not None:
        with suppress(Exception):
            track.container.close()
    track.container = None
