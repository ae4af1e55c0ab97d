"""One frame as bytes: the message of the WebSocket stream, version 1, and what goes between frames.

`docs/stream.md` says the rest: address, parameters, credit, errors, and clients to begin with.

All integers are little-endian.

    offset  bytes  field
    0       4      magic, the ASCII letters QPIF
    4       2      version of this layout, 1
    6       2      reserved, 0
    8       4      H, the header's length in bytes, a multiple of 16
    12      4      P, the payload's length in bytes
    16      H      header: a JSON object (UTF-8), padded with spaces; its fields are those of `FrameHeader`
    16 + H  P      payload: the array, C order, little-endian

The payload starts on a multiple of 16, so that an array can be laid over the received bytes without a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from qpi_live.camera.features import FeatureValue
from qpi_live.service.view import Layer

MAGIC = b"QPIF"
VERSION = 1
_PREAMBLE = struct.Struct("<4sHHII")
_ALIGNMENT = 16
_HEADER_ROOM = 4096  # a header takes about 700 bytes; a longer one costs one more copy of the payload


class EngineField(BaseModel):
    """Which engine made the phase."""

    name: str
    kind: str
    device: str
    version: str
    detail: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="its particulars: carrier, sideband, background, or the network's"
    )


class FrameHeader(BaseModel):
    """What is known of one frame. The same JSON travels as the header `QPI-Frame` of an HTTP answer."""

    model_config = ConfigDict(extra="ignore", defer_build=True)  # clients start sooner

    sequence: int = Field(description="the stream's count of frames read from the camera, from 0")
    epoch: int = Field(
        default=0,
        description="the series it belongs to: grows when the camera comes back, is switched or changes its frames",
    )
    captured_ns: int = Field(description="when the frame reached the service, ns of Unix time (UTC)")
    device_id: int | None = Field(default=None, description="the camera's own frame id, where it has one")
    device_timestamp_ns: int | None = Field(default=None, description="the camera's own time stamp, ns of its clock")
    camera: str = Field(description="what the camera was opened as")
    camera_settings: dict[str, FeatureValue] = Field(
        default_factory=dict,
        description="exposure, gain and so on that were in force for this frame, as read back from the camera",
    )
    layer: str = Field(description=Layer.explained())
    shape: tuple[PositiveInt, PositiveInt] = Field(description="(H, W) of the payload, in pixels")
    dtype: str = Field(description="float32, uint8 or uint16")
    unit: str = Field(description="rad, grey value, or 1 for the mask")
    scale: float = Field(default=1.0, description="value = offset + scale × payload, in `unit`")
    offset: float = Field(default=0.0, description="value = offset + scale × payload, in `unit`")
    downscale: int = Field(default=1, description="edge of the pixel blocks that were averaged into one")
    bit_depth: int = Field(description="significant bits of the camera's grey values")
    wavelength_m: float | None = Field(default=None, description="vacuum wavelength; null where not known")
    object_pixel_m: float | None = Field(
        default=None, description="one payload pixel in the object plane; null if unknown"
    )
    engine: EngineField
    stages_ms: dict[str, float] = Field(description="what each stage took for this frame, ms")
    residues: int | None = Field(default=None, description="residues of the wrapped phase")
    disputed_pixels: int | None = Field(default=None, description="pixels inside regions that branch cuts enclose")
    bright_cut_links: int | None = Field(
        default=None, description="links between bright pixels that branch cuts block: the phase may show steps of 2π"
    )
    carrier_strength: float | None = Field(
        default=None, description="the frame's spectral peak at the carrier over its surroundings"
    )
    fringe_contrast: float | None = Field(default=None, description="contrast of the fringes, 0 … 1")
    saturated_share: float | None = Field(default=None, description="share of saturated pixels, 0 … 1")
    fringes: str | None = Field(
        default=None,
        description="clear, fringes moved, bands overlap, saturated or colour mosaic; null where no engine looks",
    )
    masked_share: float | None = Field(
        default=None, description="share of the pixels whose fringes are too weak for a phase (layer `mask`)"
    )
    background_doubt_rad: float | None = Field(
        default=None, description="by how much the background is likely to be off, RMS; null where no engine can tell"
    )
    averaged_frames: int | None = Field(
        default=None, description="how many frames went into it: layers mean, change, fluctuation; null: one"
    )
    warning: str | None = Field(default=None, description="why this phase should not be trusted")


class StreamStatus(BaseModel):
    """What the line is doing."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    state: str = Field(description="starting, live, waiting, failing, reconnecting, ended, failed or stopped")
    sentence: str = Field(description="the same for people")
    epoch: int = Field(
        description="grows whenever the camera was lost and came back, or another one was chosen: frames of different "
        "epochs are no series"
    )
    engine: str = Field(description="name of the engine that makes the phase now")
    camera: str = Field(description="what the camera was opened as")


class WireError(ValueError):
    """Bytes that are no frame message of a version that this program knows."""


@dataclass(frozen=True, slots=True, eq=False)
class WireFrame:
    """A decoded message: the header, and the payload as a read-only (H, W) array over the received bytes."""

    header: FrameHeader
    payload: NDArray[np.generic]


def pack(describe: Callable[[], FrameHeader], payload: NDArray[np.generic]) -> bytearray:
    """One message; `payload` is copied once, into it.

    `describe` is called when the payload is in place, so that the header can state how long that took.
    """
    start = _PREAMBLE.size + _HEADER_ROOM
    message = bytearray(start + payload.nbytes)
    np.frombuffer(message, payload.dtype, offset=start).reshape(payload.shape)[...] = payload
    text = describe().model_dump_json().encode()
    room = max(_HEADER_ROOM, len(text) + -len(text) % _ALIGNMENT)
    _PREAMBLE.pack_into(message, 0, MAGIC, VERSION, 0, room, payload.nbytes)
    message[_PREAMBLE.size : start] = text.ljust(room)  # moves the payload on where the header needs more room
    return message


def unpack(message: bytes | bytearray | memoryview) -> WireFrame:
    """The frame in `message`, whose bytes the payload goes on using.

    Raises:
        WireError: the bytes are no message of version 1, or truncated.
    """
    if len(message) < _PREAMBLE.size:
        raise WireError(f"expected at least {_PREAMBLE.size} bytes, got {len(message)}")
    magic, version, _, header_bytes, payload_bytes = _PREAMBLE.unpack_from(message)
    if magic != MAGIC or version != VERSION:
        raise WireError(f"expected magic {MAGIC!r} and version {VERSION}, got {magic!r} and {version}")
    start = _PREAMBLE.size + header_bytes
    if len(message) != start + payload_bytes:
        raise WireError(f"expected {start + payload_bytes} bytes, got {len(message)}")
    try:
        header = FrameHeader.model_validate_json(bytes(message[_PREAMBLE.size : start]))
        payload = np.frombuffer(message, np.dtype(header.dtype), offset=start).reshape(header.shape)
    except (ValidationError, TypeError, ValueError) as error:
        raise WireError(f"expected a header that describes the payload, got {error}") from error
    payload.flags.writeable = False
    return WireFrame(header, payload)
