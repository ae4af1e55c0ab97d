"""Scale and units of layers, as napari wants them."""

from __future__ import annotations


def plane_scale(object_pixel_m: float | None) -> tuple[tuple[float, float], tuple[str, str]]:
    """Scale and units along (y, x) of a frame whose pixel is so large in the object plane; pixels where unknown."""
    if object_pixel_m is None:
        return (1.0, 1.0), ("pixel", "pixel")
    pixel_um = object_pixel_m * 1e6
    return (pixel_um, pixel_um), ("micrometer", "micrometer")


def series_scale(
    object_pixel_m: float | None, frame_rate_hz: float | None
) -> tuple[tuple[float, float, float], tuple[str, str, str]]:
    """Scale and units along (t, y, x) of a series; frames and pixels where unknown."""
    scale, units = plane_scale(object_pixel_m)
    if frame_rate_hz:
        return (1 / frame_rate_hz, *scale), ("second", *units)
    return (1.0, *scale), ("pixel", *units)
