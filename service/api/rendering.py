"""A frame as an HTTP answer."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from fastapi import Response
from qpi_live.service.api.image_formats import MEDIA_TYPES, Format, header_text, write_image
from qpi_live.service.line.layers import describe, render
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.other_phases import OtherPhases
from qpi_live.service.view import View

HEADER = "QPI-Frame"

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
    start_ns = perf_counter_ns()
    phase = others.wait_for(live, view.layer) if others else live.phase
    picture = render(phase, view)
    body = write_image(picture.values, describe(live, phase, view, picture, 0.0), image_format)
    header = describe(live, phase, view, picture, (perf_counter_ns() - start_ns) / 1e6)
    headers = {
        HEADER: header_text(header),
        "content-disposition": f'inline; filename="{view.layer}-{live.frame.sequence:08d}.{image_format}"',
    }
    return Response(body, media_type=MEDIA_TYPES[image_format], headers=headers)
