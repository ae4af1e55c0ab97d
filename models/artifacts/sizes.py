"""The frame sizes that a compiled network takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

Shape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """(H, W) in pixels from `smallest` to `largest`, both included; it is quickest at `best`."""

    smallest: Shape
    best: Shape
    largest: Shape

    def __post_init__(self) -> None:
        for low, middle, high in zip(self.smallest, self.best, self.largest, strict=True):
            if not 0 < low <= middle <= high:
                raise ValueError(f"expected sizes that ascend, got {self}; name the smallest one first")

    @classmethod
    def parse(cls, text: str) -> Sizes:
        """`1024`, `1024x1280` (height × width), or a range `512-1024-2048`, whose middle may be left out.

        Raises:
            ValueError: it is none of these.
        """
        parts = [_shape(part, text) for part in text.split("-")]
        if len(parts) > 3:
            raise ValueError(f"expected at most three sizes, got {text!r}; write 512-1024-2048")
        return cls(parts[0], parts[len(parts) // 2], parts[-1])

    @property
    def is_fixed(self) -> bool:
        """Whether it is one size."""
        return self.smallest == self.largest

    @property
    def option(self) -> str:
        """What `parse` takes."""
        shapes = [self.best] if self.is_fixed else [self.smallest, self.best, self.largest]
        return "-".join(str(height) if height == width else f"{height}x{width}" for height, width in shapes)

    def why_not(self, shape: Shape) -> str | None:
        """Why frames of this (H, W) are not taken; None if they are."""
        pairs = zip(self.smallest, shape, self.largest, strict=True)
        if all(low <= edge <= high for low, edge, high in pairs):
            return None
        return f"expected frames of {self}, got {shape[0]} × {shape[1]} px"

    def __str__(self) -> str:
        smallest = f"{self.smallest[0]} × {self.smallest[1]}"
        return f"{smallest} px" if self.is_fixed else f"{smallest} … {self.largest[0]} × {self.largest[1]} px"


def _shape(part: str, text: str) -> Shape:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", part.strip())
    if match is None:
        raise ValueError(f"expected a size such as 1024, 1024x1280 or 512-1024-2048, got {text!r}")
    height = int(match[1])
    return height, int(match[2] or height)
