"""Phases side by side on one scale, for a look instead of a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from qpi_live.camera.frame import Frame
from qpi_live.models.metrics import PHASE_RANGE_RAD

_PANEL_PX = 512
_OBJECT_RAD = (-3.0, 12.0)
_COLUMNS = 4
_CAPTION_PX = 18


def save_side_by_side(path: Path, phases: Mapping[str, NDArray[np.float32]], frame: Frame) -> None:
    """Write a PNG: the interferogram, then each phase (H, W) in rad from black (0) to white (12 rad), with its name.

    Behind each but the first stands its difference from that, from −1 rad (black) to 1 rad (white).
    """
    panels: list[tuple[str, NDArray[Any]]] = [("interferogram", frame.pixels / (2**frame.bit_depth - 1))]
    first = next(iter(phases.values()))
    for name, phase_rad in phases.items():
        panels.append((f"{name}, 0 … 12 rad", phase_rad / PHASE_RANGE_RAD))
        if phase_rad is not first:
            panels.append((f"{name} minus {next(iter(phases))}, ± 1 rad", (phase_rad - first) / 2 + 0.5))
    _save(path, panels)


def save_unwrapped(path: Path, amplitude: NDArray[np.float32], phases: Mapping[str, NDArray[np.float32]]) -> None:
    """Write a PNG: the amplitude up to twice its median, then each phase (H, W) from −3 (black) to 12 rad (white)."""
    low, high = _OBJECT_RAD
    panels: list[tuple[str, NDArray[Any]]] = [("amplitude", amplitude / (2 * np.median(amplitude)))]
    for name, phase_rad in phases.items():
        panels.append((f"{name}, {low:.0f} … {high:.0f} rad", (phase_rad - low) / (high - low)))
    _save(path, panels)


def _save(path: Path, panels: list[tuple[str, NDArray[Any]]]) -> None:
    columns = min(len(panels), _COLUMNS)
    sheet = Image.new("L", (_PANEL_PX * columns, (_PANEL_PX + _CAPTION_PX) * -(-len(panels) // columns)))
    for number, (caption, values) in enumerate(panels):
        grey = (np.clip(values, 0, 1) * 255).astype(np.uint8)
        left, top = number % columns * _PANEL_PX, number // columns * (_PANEL_PX + _CAPTION_PX)
        sheet.paste(Image.fromarray(grey).resize((_PANEL_PX, _PANEL_PX)), (left, top + _CAPTION_PX))
        ImageDraw.Draw(sheet).text((left + 6, top + 3), caption, fill=255)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
