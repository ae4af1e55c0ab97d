"""A view of one frame as a file, with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter_ns

from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import View
from qpi_live.service.viewing.image_formats import Format, header_text, write_image
from qpi_live.service.viewing.layers import describe, render
from qpi_live.service.viewing.other_phases import OtherPhases


@dataclass(frozen=True, slots=True, eq=False)
class FrameFile:
    """The file's bytes, its format, its name, and the `FrameHeader` as JSON."""

    body: bytes
    image_format: Format
    name: str
    header: str


def frame_file(live: LiveFrame, view: View, image_format: Format, others: OtherPhases | None = None) -> FrameFile:
    """`view` of `live` as a file.

    Raises:
        LayerMissing: the frame has no such layer.
        BlocksTooLarge: the view's blocks are larger than the frame.
    """
    start_ns = perf_counter_ns()
    phase = others.wait_for(live, view.layer, view.focus_um) if others else live.phase
    picture = render(phase, view)
    header = describe(live, phase, view, picture, 0.0)
    body = write_image(picture.values, header, image_format)
    stages_ms = {**header.stages_ms, "encode": (perf_counter_ns() - start_ns) / 1e6}
    header = header.model_copy(update={"stages_ms": stages_ms})
    return FrameFile(body, image_format, f"{view.layer}-{live.frame.sequence:08d}.{image_format}", header_text(header))
