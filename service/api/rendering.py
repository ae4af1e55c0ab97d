"""A frame as an HTTP answer."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import View
from qpi_live.service.viewing.frame_file import FrameFile, frame_file
from qpi_live.service.viewing.image_formats import MEDIA_TYPES, Format
from qpi_live.service.viewing.other_phases import OtherPhases

HEADER = "QPI-Frame"
MASKED = "what stands in exact phase where the fringes are too weak for one: the noise as it is (`kept`), or `nan`"

FRAME_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The array. `npy` and `tiff` are exact; `png` is an 8-bit preview whose scale and offset stand "
        f"in `{HEADER}`.",
        "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA_TYPES.values()},
        "headers": {
            HEADER: {
                "description": "what is known of the frame",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/FrameHeader"}}},
            }
        },
    }
}


def frame_answer(live: LiveFrame, view: View, image_format: Format, others: OtherPhases | None = None) -> Response:
    """`view` of `live` as a file, with its `FrameHeader` in the header `QPI-Frame`.

    Raises:
        LayerMissing: the frame has no such layer.
        BlocksTooLarge: the view's blocks are larger than the frame.
    """
    return file_answer(frame_file(live, view, image_format, others))


def file_answer(file: FrameFile) -> Response:
    """The file, with its `FrameHeader` in the header `QPI-Frame`."""
    headers = {HEADER: file.header, "content-disposition": f'inline; filename="{file.name}"'}
    return Response(file.body, media_type=MEDIA_TYPES[file.image_format], headers=headers)
