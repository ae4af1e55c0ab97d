"""OME-Zarr (0.4 and 0.5) and plain Zarr arrays: a folder of chunks, read chunk by chunk.

Zarr makes fill values of chunks that are not there, so every frame is first looked up: is each of its chunks there?
Sources: https://ngff.openmicroscopy.org/0.4 and /0.5 (multiscales, omero).
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from qpi_live.camera.files.contents import Channel, Contents, Facts, Stack, Values, optics_of, rate_of, whole_frames
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers.flat_file import frame_axes
from qpi_live.camera.files.readers.ome import metres, seconds
from zarr.storage import ZipStore

_SIZES = ("t", "c", "z", "y", "x")
_MOST_GROUPS = 256
_DESCRIBING = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
Tree = Path | zipfile.Path  # where chunks lie: a folder, or what was packed into a zip file


def open_zarr(path: Path) -> Contents:
    """The images of the Zarr folder at `path`.

    Raises:
        ImageFileError: it cannot be read, or holds no frames.
    """
    return _contents(path, lambda: zarr.open(path, mode="r"), _watched(path))


def open_zipped_zarr(path: Path) -> Contents:
    """The images of the Zarr folder that was packed into the zip file at `path`, with a folder around it or without.

    Raises:
        ImageFileError: it cannot be read, or holds no frames.
    """
    try:
        packed = zipfile.Path(path)
        tops = [packed, *(entry for entry in packed.iterdir() if entry.is_dir())]
        top = next((one for one in tops if any((one / name).is_file() for name in _DESCRIBING)), None)
    except (OSError, zipfile.BadZipFile) as error:
        raise ImageFileError(f"expected a readable zip file, got an error ({error})") from error
    if top is None:
        raise ImageFileError("expected a Zarr folder in the zip file, got none")
    store = ZipStore(path, mode="r")
    contents = _contents(top, lambda: zarr.open(store, mode="r", path=top.at.rstrip("/")), (path,))

    def close() -> None:
        store.close()
        top.root.close()

    return replace(contents, close=close)


def _contents(path: Tree, opened: Callable[[], Any], watched: tuple[Path, ...]) -> Contents:
    try:
        node = opened()
    except Exception as error:  # zarr lets many kinds out
        raise ImageFileError(f"expected a readable Zarr folder, got an error ({error})") from error
    stacks: list[Stack] = []
    if isinstance(node, zarr.Array):
        stacks = [stack for stack in [_plain_stack(path, "", node)] if stack]
    else:
        stacks = list(_stacks_of_group(path, node))
    if not stacks:
        raise ImageFileError("expected an OME-Zarr image, or an array (frames, H, W), got neither")
    is_ome = "ome" in node.attrs or any(key in node.attrs for key in ("multiscales", "bioformats2raw.layout"))
    return Contents("OME-Zarr" if is_ome else "Zarr", tuple(stacks), watched)


def _watched(path: Path) -> tuple[Path, ...]:
    """The folder, and what describes its arrays: that is written again when an array grows."""
    found = [path / name for name in _DESCRIBING] + [path / "0" / name for name in _DESCRIBING]
    return (path, *(file for file in found if file.is_file()))


def _stacks_of_group(path: Tree, group: zarr.Group) -> list[Stack]:
    stacks = []
    nodes: list[tuple[str, zarr.Group]] = [("", group)]
    for name, node in nodes:
        described = _multiscales(node)
        if described:
            array = node[described[0]["datasets"][0]["path"]]
            stacks.append(_ome_stack(path, name, array, described[0], _omero(node)))
            continue
        for key, member in itertools.islice(node.members(), _MOST_GROUPS):
            below = f"{name}/{key}"
            if isinstance(member, zarr.Group) and len(nodes) < _MOST_GROUPS:
                nodes.append((below, member))
            elif isinstance(member, zarr.Array) and (stack := _plain_stack(path, below, member)):
                stacks.append(stack)
    return stacks


def _attributes(node: zarr.Group | zarr.Array[Any]) -> Mapping[str, Any]:
    stated = dict(node.attrs)
    inner = stated.get("ome")
    return inner if isinstance(inner, dict) else stated


def _multiscales(node: zarr.Group | zarr.Array[Any]) -> list[dict[str, Any]]:
    found = _attributes(node).get("multiscales")
    return found if isinstance(found, list) and found and found[0].get("datasets") else []


def _omero(node: zarr.Group) -> list[dict[str, Any]]:
    found = _attributes(node).get("omero", {})
    channels = found.get("channels", []) if isinstance(found, dict) else []
    return channels if isinstance(channels, list) else []


def _ome_stack(path: Tree, name: str, array: Any, described: Mapping[str, Any], omero: list[dict[str, Any]]) -> Stack:
    axes = described.get("axes") or list(_SIZES[-len(array.shape) :])
    named = [axis if isinstance(axis, dict) else {"name": str(axis)} for axis in axes]
    order = [str(axis["name"]).lower() for axis in named]
    if len(order) != len(array.shape) or order[-2:] != ["y", "x"] or set(order) - set(_SIZES):
        raise ImageFileError(f"expected an image of axes t, c, z, y, x, got {order} of shape {array.shape}")
    sizes = dict(zip(order, array.shape, strict=True))
    count, depths, times = sizes.get("c", 1), sizes.get("z", 1), sizes.get("t", 1)
    labels = [str(channel.get("label", "")) for channel in omero]
    channels = tuple(
        Channel(labels[number] if number < len(labels) else "" if count == 1 else f"channel {number}")
        for number in range(count)
    )

    def place(frame: int, channel: int) -> tuple[int, ...]:
        at = {"t": frame // depths, "z": frame % depths, "c": channel}
        return tuple(at[axis] for axis in order[:-2])

    scales, units = _scales(described, len(order)), [axis.get("unit") for axis in named]
    interval_s = seconds(scales[order.index("t")], units[order.index("t")], "") if "t" in order else None
    pixel_m = metres(scales[-1], units[-1], "") if units[-1] else None
    return Stack(
        name=name,
        shape=(sizes["y"], sizes["x"]),
        dtype=np.dtype(array.dtype).name,
        frames=whole_frames(times * depths, lambda frame: _is_whole(path, array, place(frame, 0))),
        plane=lambda frame, channel: _region(path, array, place(frame, channel)),
        channels=channels,
        facts=Facts(optics_of(object_pixel_m=pixel_m), rate_of(interval_s) if depths == 1 else None),
        promised=times * depths,
    )


def _scales(described: Mapping[str, Any], axes: int) -> list[float]:
    """Of the largest level along each axis: the level's own times those of all levels."""
    scales = [1.0] * axes
    for holder in (described, described["datasets"][0]):
        for step in holder.get("coordinateTransformations", []):
            with suppress(TypeError, ValueError):
                factors = [float(factor) for factor in step.get("scale", [])]
                if len(factors) == axes:
                    scales = [scale * factor for scale, factor in zip(scales, factors, strict=True)]
    return scales


def _plain_stack(path: Tree, name: str, array: Any) -> Stack | None:
    axes = frame_axes(array.shape) if np.dtype(array.dtype).kind in "uif" else None
    if axes is None or min(axes[0][:2]) < 16:
        return None
    inner, frames = axes
    lead = len(array.shape) - len(inner)
    moving = next((axis for axis in range(lead) if array.shape[axis] != 1), 0)

    def place(frame: int) -> tuple[int, ...]:
        return tuple(frame if axis == moving else 0 for axis in range(lead))

    return Stack(
        name,
        (inner[0], inner[1]),
        np.dtype(array.dtype).name,
        whole_frames(frames, lambda frame: _is_whole(path, array, place(frame))),
        lambda frame, _: _region(path, array, place(frame)),
        promised=frames,
    )


def _region(path: Tree, array: Any, where: tuple[int, ...]) -> Values:
    try:
        _check_presence(path, array, where)
        return np.asarray(array[where])
    except ImageFileError:
        raise
    except Exception as error:  # a chunk that is cut short trips its codec in many ways
        raise ImageFileError(f"expected sound chunks, got an error ({error})") from error


def _is_whole(path: Tree, array: Any, where: tuple[int, ...]) -> bool:
    try:
        _check_presence(path, array, where)
    except ImageFileError:
        return False
    return True


def _check_presence(path: Tree, array: Any, where: tuple[int, ...]) -> None:
    """Refuse a frame of which a chunk is not there."""
    stored = array.shards or array.chunks
    folder = path / _inside(path, array)
    spans = [[at // size] for at, size in zip(where, stored, strict=False)]
    for length, size in zip(array.shape[len(where) :], stored[len(where) :], strict=True):
        spans.append(list(range(-(-length // size))))
    for chunk in itertools.product(*spans):
        key = array.metadata.encode_chunk_key(chunk)
        if not (folder / key).is_file():
            raise ImageFileError(f"expected chunk {key} in the folder, got none; it was not written, or is lost")


def _inside(path: Tree, array: Any) -> str:
    """Where the array lies below `path`."""
    inside = str(array.path)
    return inside if isinstance(path, Path) else inside.removeprefix(path.at).lstrip("/")
