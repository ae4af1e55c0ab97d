"""Pictures that are no off-axis interferograms: photographs, textures, plots, pages of text, charts, rings."""

from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont
from qpi_live.camera.frame import Pixels

_SMALLEST_PX = 96


@cache
def pictures() -> dict[str, Pixels]:
    """By name: all that scikit-image brings along, and drawings like those that people send by mistake."""
    found: dict[str, Pixels] = {}
    for file in sorted(Path(skimage.data.__file__).parent.glob("*.*g")):
        with Image.open(file) as image:
            if min(image.size) >= _SMALLEST_PX:
                found[file.stem] = np.asarray(image.convert("L"))
    for seed in range(6):
        found[f"plot {seed}"] = _plot(seed)
    for size_px in (8, 12, 16, 20):
        found[f"letter of {size_px} px"] = _letter(size_px)
    for edge_px in (8, 16, 32):
        y, x = np.mgrid[:256, :256]
        found[f"chessboard of {edge_px} px"] = np.where((y // edge_px + x // edge_px) % 2, 220, 20).astype(np.uint8)
    found["bars"] = _bars()
    return found


def rings(turns_rad: float, centre: tuple[float, float], shape: tuple[int, int] = (256, 256)) -> Pixels:
    """Fringes cos(turns · r²) around `centre`, on axes from −1 to 1: what an untilted or curved reference gives."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    phase_rad = turns_rad * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2)
    level = 0.5 + 0.35 * np.cos(phase_rad) + np.random.default_rng(0).normal(0, 0.05, shape)
    return np.rint(255 * np.clip(level, 0, 1)).astype(np.uint8)


def _plot(seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    image = Image.new("L", (400, 300), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 20, 380, 260), outline=0)
    grid = 220 if seed % 2 else 255
    for x in range(40, 381, (34, 17, 20, 50, 12, 25)[seed]):
        draw.line((x, 20, x, 260), fill=grid)
        draw.line((x, 260, x, 265), fill=0)
    for y in range(20, 261, (24, 12, 30, 16, 40, 10)[seed]):
        draw.line((40, y, 380, y), fill=grid)
        draw.line((35, y, 40, y), fill=0)
    x = np.arange(40, 380)
    curve = 140 + 60 * np.sin(x / (8 + 6 * seed)) * np.exp(-((x - 200) ** 2) / 9000) + rng.normal(0, 2, x.size)
    draw.line(list(zip(x.tolist(), curve.tolist(), strict=True)), fill=0, width=1 + seed % 2)
    return np.asarray(image)


def _letter(size_px: int) -> Pixels:
    rng = np.random.default_rng(size_px)
    image = Image.new("L", (420, 420), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=size_px)
    for y in range(10, 400, round(1.25 * size_px)):
        words = ("".join(rng.choice(list("abcdefghiklmnoprstu"), rng.integers(2, 9))) for _ in range(9))
        draw.text((10, y), " ".join(words), fill=0, font=font)
    return np.asarray(image)


def _bars() -> Pixels:
    image = Image.new("L", (300, 300), 240)
    draw = ImageDraw.Draw(image)
    for bar in range(10):
        draw.rectangle((20 + 26 * bar, 280 - bar * 37 % 200, 38 + 26 * bar, 280), fill=60 + 15 * bar)
    return np.asarray(image)
