"""A frame in the driver's own buffer, and how one is read there without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genicam import gentl
from qpi_live.camera.errors import CameraLost
from qpi_live.camera.genicam.discovery import told
from qpi_live.camera.genicam.nodes import GentlNodes
from qpi_live.camera.genicam.pixel_format import FORMATS_BY_CODE, FORMATS_BY_NAME, PixelFormat

_IMAGE_PAYLOADS = (gentl.PAYLOADTYPE_INFO_IDS.PAYLOAD_TYPE_IMAGE, gentl.PAYLOADTYPE_INFO_IDS.PAYLOAD_TYPE_CHUNK_DATA)


@dataclass(frozen=True, slots=True, eq=False)
class DriverFrame:
    """A frame in the driver's own buffer, which must go back by `GentlDevice.give_back` at once.

    `shape` is (H, W) in pixels; `buffer` belongs to the driver; `device_id` and `timestamp_ns` are the camera's own.
    """

    handle: Any
    buffer: bytes
    shape: tuple[int, int]
    pixel_format: PixelFormat
    row_padding: int
    is_big_endian: bool
    device_id: int | None
    timestamp_ns: int | None


class BufferReader:
    """Reads what a driver says of the buffers of one camera.

    Args:
        nodes: of the camera, for what its driver leaves unsaid.
    """

    def __init__(self, nodes: GentlNodes) -> None:
        self._nodes = nodes
        self._has_timestamps = self._has_ids = True

    def read(self, buffer: Any) -> DriverFrame:
        """The frame in a buffer.

        Raises:
            CameraLost: it is no grey picture.
        """
        payload_type = told(buffer, "payload_type")
        if payload_type is not None and payload_type not in _IMAGE_PAYLOADS:
            raise CameraLost(f"expected single pictures from the camera, got payload type {payload_type}")
        code = told(buffer, "pixel_format")
        pixel_format = (
            FORMATS_BY_CODE.get(code) if code else FORMATS_BY_NAME[str(self._nodes.feature("PixelFormat").value)]
        )
        if pixel_format is None:
            raise CameraLost(f"expected grey pictures from the camera, got pixel format {code:#010x}")
        raw = buffer.raw_buffer
        offset = told(buffer, "image_offset") or 0
        return DriverFrame(
            handle=buffer,
            buffer=memoryview(raw)[offset:] if offset else raw,  # type: ignore[arg-type]
            shape=(self._side(buffer, "height"), self._side(buffer, "width")),
            pixel_format=pixel_format,
            row_padding=told(buffer, "padding_x") or 0,
            is_big_endian=told(buffer, "pixel_endianness") == gentl.PIXELENDIANNESS_IDS.PIXELENDIANNESS_BIG,
            device_id=self._id(buffer),
            timestamp_ns=self._timestamp_ns(buffer),
        )

    def _side(self, buffer: Any, side: str) -> int:
        return int(told(buffer, side) or self._nodes.number(side.capitalize()) or 0)

    def _id(self, buffer: Any) -> int | None:
        stamp = told(buffer, "frame_id") if self._has_ids else None
        self._has_ids = stamp is not None
        return stamp

    def _timestamp_ns(self, buffer: Any) -> int | None:
        stamp = told(buffer, "timestamp_ns") if self._has_timestamps else None
        self._has_timestamps = stamp is not None
        return stamp
