"""Phases side by side on one scale, for a look instead of a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from qpi_live.camera.frame import Frame
from qpi_live.models.metrics import PHASE_RANGE_RAD

_PANEL_PX = 512
_COLUMNS = 4
_CAPTION_PX = 18


def save_side_by_side(path: Path, phases: Mapping[str, NDArray[np.float32]], frame: Frame) -> None:
    """Write a PNG: the interferogram, then each phase (H, W) in rad from black (0) to white (12 rad), with its name.

    Behind each but the first stands its difference from that, from −1 rad (black) to 1 rad (white).
    """
    panels = [("interferogram", frame.pixels / (2**frame.bit_depth - 1))]
    first = next(iter(phases.values()))
    for name, phase_rad in phases.items():
        panels.append((f"{name}, 0 … 12 rad", phase_rad / PHASE_RANGE_RAD))
        if phase_rad is not first:
            panels.append((f"{name} minus {next(iter(phases))}, ± 1 rad", (phase_rad - first) / 2 + 0.5))
    columns = min(len(panels), _COLUMNS)
    sheet = Image.new("L", (_PANEL_PX * columns, (_PANEL_PX + _CAPTION_PX) * -(-len(panels) // columns)))
    for number, (caption, values) in enumerate(panels):
        grey = (np.clip(values, 0, 1) * 255).astype(np.uint8)
        left, top = number % columns * _PANEL_PX, number // columns * (_PANEL_PX + _CAPTION_PX)
        sheet.paste(Image.fromarray(grey).resize((_PANEL_PX, _PANEL_PX)), (left, top + _CAPTION_PX))
        ImageDraw.Draw(sheet).text((left + 6, top + 3), caption, fill=255)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
