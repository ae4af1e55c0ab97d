"""Shapes that were drawn in napari as regions of the service, and back.

Regions are in pixels of the camera's frame, and pixel i covers i … i + 1; in napari its middle lies at i.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.float64]
_ROUND = 64  # corners of a turned ellipse


def regions_of(shapes: Any, image: Any, downscale: int = 1) -> list[dict[str, Any]]:
    """The shapes of a Shapes layer as regions of the picture in the layer `image`.

    Args:
        shapes: napari's Shapes layer; its features `name` and `role` are used where it has them.
        image: the live layer, on which they were drawn.
        downscale: edge of the blocks of the camera's pixels that are one pixel of `image`.
    """
    names, roles = (list(shapes.features.get(key, [])) for key in ("name", "role"))
    regions = []
    for number, (corners, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
        in_world = [shapes.data_to_world(corner) for corner in corners]
        in_image = np.array([image.world_to_data(corner)[-2:] for corner in in_world])
        shape, points = _region((in_image + 0.5) * downscale, str(kind))
        name = str(names[number]) if number < len(names) and names[number] else f"region {number + 1}"
        role = str(roles[number]) if number < len(roles) and roles[number] else "measure"
        regions.append({"name": name, "shape": shape, "points": points.tolist(), "role": role})
    return regions


def shapes_of(regions: Iterable[Mapping[str, Any]], downscale: int = 1) -> tuple[list[Corners], dict[str, Any]]:
    """Corners in pixels of the live layer, and options of `viewer.add_shapes`, for the service's regions."""
    listed = list(regions)
    data, kinds = [], []
    for region in listed:
        points = np.array(region["points"], np.float64) / downscale - 0.5
        data.append(_box(points) if region["shape"] in ("rectangle", "ellipse") else points)
        kinds.append("path" if region["shape"] == "line" and len(points) > 2 else region["shape"])
    features = {key: [region[key] for region in listed] for key in ("name", "role")}
    return data, {"shape_type": kinds, "features": features, "text": "name", "face_color": "transparent"}


def _region(corners: Corners, kind: str) -> tuple[str, Corners]:
    if kind in ("line", "path"):
        return "line", corners
    if kind in ("rectangle", "ellipse"):
        low, high = corners.min(axis=0), corners.max(axis=0)
        if np.allclose(np.sort(corners, axis=0), np.sort(_box(np.array([low, high])), axis=0), atol=1e-3):
            return kind, np.array([low, high])
        return "polygon", corners if kind == "rectangle" else _turned_ellipse(corners)
    return "polygon", corners


def _box(ends: Corners) -> Corners:
    (top, left), (bottom, right) = ends
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def _turned_ellipse(corners: Corners) -> Corners:
    """The outline of the ellipse in a box that does not lie along the axes."""
    middle = corners.mean(axis=0)
    half_a, half_b = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    outline: Corners = middle + np.cos(angle) * half_a + np.sin(angle) * half_b
    return outline
