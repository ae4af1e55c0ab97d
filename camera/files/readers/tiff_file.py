"""TIFF, BigTIFF, ImageJ's stacks, OME-TIFF over several files, Micro-Manager's stacks: what they hold, as stacks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from qpi_live.camera.files.choice import FEWEST_UNFOLDED
from qpi_live.camera.files.contents import Channel, Contents, Facts, Stack, Values, optics_of, rate_of
from qpi_live.camera.files.image_bounds import ImageFileError
from qpi_live.camera.files.readers import micromanager
from qpi_live.camera.files.readers.ome import OmeImage, PlaneKey, metadata_file, metres, parse_ome, seconds
from qpi_live.camera.files.readers.tiff_pages import TiffPages, shaped_description

_MOST_OPEN = 16  # files of one recording that are open at a time
_FILES_COUNTED = 64  # up to so many files of one recording are opened at once, to count what is missing
_LARGEST_XML = 64 << 20
_RESOLUTION_X = 282


class TiffFiles:
    """The TIFF files of one recording, a few of them open at a time."""

    def __init__(self) -> None:
        self._open: dict[Path, TiffPages] = {}

    def pages(self, path: Path) -> TiffPages:
        """The pages of one of them; raises `ImageFileError` where it cannot be read."""
        if path not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            try:
                self._open[path] = TiffPages(path)
            except ImageFileError as error:
                raise ImageFileError(f"{path.name}: {error}") from error
            except Exception as error:  # tifffile's ways to refuse a broken file are many
                raise ImageFileError(f"{path.name}: expected a readable TIFF, got an error ({error})") from error
        return self._open[path]

    def close(self) -> None:
        """Let go of all files."""
        while self._open:
            self._open.popitem()[1].close()


def open_tiff(path: Path) -> Contents:
    """What the TIFF file at `path` holds, with the other files of the same recording where it names them.

    Raises:
        ImageFileError: it cannot be read.
    """
    files = TiffFiles()
    try:
        pages = files.pages(path)
        described = _ome_images(pages, path)
        if described is not None:
            images, folder_file = described
            return _ome_contents(files, folder_file, images)
        if pages.tiff.is_micromanager and (run := micromanager.index_of(path, files.pages)):
            stacks = tuple(_stack(files, pages, *one) for one in run)
            watched = {place for _, _, _, planes in run for place, _ in planes.values()}
            return Contents("Micro-Manager TIFF", stacks, (*sorted(watched), path.parent), files.close)
        kind = "ImageJ TIFF" if pages.is_imagej else "TIFF"
        return Contents(kind, (_plain_stack(pages),), (path,), files.close)
    except BaseException:
        files.close()
        raise


def open_companion(path: Path) -> Contents:
    """What the OME-XML file at `path` (`NAME.companion.ome`) describes: TIFF files that lie beside it.

    Raises:
        ImageFileError: it cannot be read, or the files that it names are not there.
    """
    if path.stat().st_size > _LARGEST_XML:
        raise ImageFileError(f"expected at most {_LARGEST_XML >> 20} MiB of OME-XML, got more")
    files = TiffFiles()
    try:
        return _ome_contents(files, path, parse_ome(path.read_bytes().decode("utf-8-sig")))
    except BaseException:
        files.close()
        raise


def _plain_stack(pages: TiffPages) -> Stack:
    channels = _channels(pages)
    count = len(channels)
    facts = _imagej_facts(pages) if pages.is_imagej else Facts()
    is_cut = pages.is_cut and pages.promised <= pages.frames
    remarks = ["The file is truncated: more frames were announced."] if is_cut else []
    if pages.others:
        remarks.append(f"Left out, being of another size or type than the first: {pages.others} of its pages.")
    return Stack(
        name="",
        shape=pages.shape,
        dtype=pages.dtype.name,
        frames=-(-pages.frames // count),
        plane=lambda frame, channel: _present(pages, frame * count + channel),
        channels=channels,
        facts=facts,
        promised=-(-pages.promised // count),
        title="page {}".format if count == 1 else "frame {}".format,
        remark=" ".join(remarks),
    )


def _present(pages: TiffPages, number: int) -> Values:
    if number >= pages.frames:
        raise ImageFileError(f"expected image {number} in the file, got {pages.frames} images; is it truncated?")
    return pages.read(number)


def _channels(pages: TiffPages) -> tuple[Channel, ...]:
    """Channels of a file that is no OME-TIFF: they change fastest, before depth and time."""
    count = 1
    labels: list[str] = []
    if pages.is_imagej:
        stated: dict[str, Any] = pages.tiff.imagej_metadata or {}
        count = int(stated.get("channels", 1))
        labels = [str(label) for label in stated.get("Labels", [])][:count]
    else:
        shaped = shaped_description(pages.tiff)
        axes, shape = str(shaped.get("axes", "")), shaped.get("shape", [])
        if axes.endswith("CYX") and len(axes) == len(shape):
            count = shape[-3]
            named = shaped.get("Channel", {})
            labels = [str(name) for name in named.get("Name", [])] if isinstance(named, dict) else []
    has_names = len(set(labels)) == count
    if count < 2 or pages.promised % count or (count == pages.promised >= FEWEST_UNFOLDED and not has_names):
        return (Channel(),)
    return tuple(Channel(labels[index] if has_names else "") for index in range(count))


def _imagej_facts(pages: TiffPages) -> Facts:
    stated: dict[str, Any] = pages.tiff.imagej_metadata or {}
    interval_s = seconds(stated.get("finterval"), stated.get("tunit"), "s")
    rate_hz = rate_of(interval_s)
    with suppress(TypeError, ValueError):
        rate_hz = rate_hz or rate_of(1 / float(stated["fps"])) if stated.get("fps") else rate_hz
    pixel_m = None
    resolution = pages.tag(_RESOLUTION_X)
    if isinstance(resolution, tuple) and resolution[0]:
        pixel_m = metres(resolution[1] / resolution[0], stated.get("unit"), "pixel")
    return Facts(optics_of(object_pixel_m=pixel_m), rate_hz)


def _ome_images(pages: TiffPages, path: Path) -> tuple[list[OmeImage], Path] | None:
    """The images that the file's OME-XML describes, and the file that it is in; None where there is none to go by."""
    xml = pages.tiff.ome_metadata
    if not isinstance(xml, str):
        return None
    elsewhere = metadata_file(xml)
    if elsewhere:
        other = path.parent / Path(elsewhere).name
        if not other.is_file():
            return None
        xml = other.read_text("utf-8") if other.suffix == ".ome" else TiffPages(other).tiff.ome_metadata
        path = other
    images = parse_ome(xml or "")
    return (images, path) if images else None


def _ome_contents(files: TiffFiles, path: Path, images: Iterable[OmeImage]) -> Contents:
    beside = {entry.name for entry in path.parent.iterdir()}
    stacks = []
    watched = {path}
    for image in images:
        planes: dict[PlaneKey, tuple[Path, int]] = {}
        for key, (name, page) in image.planes.items():
            # The file itself, under whatever name it has been given since.
            file = path.parent / Path(name).name if name and Path(name).name in beside else path
            if path.suffix == ".ome" and file == path:
                continue  # a file that is not there; what describes it holds no pixels
            if not name or file != path or Path(name).name == path.name or _is_alone(image):
                planes[key] = (file, page)
        watched |= {file for file, _ in planes.values()}
        if planes:
            pages = files.pages(next(iter(planes.values()))[0])
            stacks.append(_stack(files, pages, image.name, image.channels, image.facts, planes, image.frames))
    if not stacks:
        raise ImageFileError(f"expected the files that {path.name} names beside it, got none of them")
    if pages.tiff.is_micromanager:
        stacks = [replace(one, facts=micromanager.completed(one.facts, pages.tiff)) for one in stacks]
    if len(stacks) == 1:
        stacks = [replace(stacks[0], name="")]
    return Contents("OME-TIFF", tuple(stacks), tuple(sorted(watched)), files.close)


def _is_alone(image: OmeImage) -> bool:
    return len({name for name, _ in image.planes.values()}) == 1


def _stack(
    files: TiffFiles,
    pages: TiffPages,
    name: str,
    channels: tuple[Channel, ...],
    facts: Facts,
    planes: dict[PlaneKey, tuple[Path, int]],
    promised: int | None = None,
) -> Stack:
    """Frames by a table of where each (frame, channel) lies."""
    places = {file for file, _ in planes.values()}
    if len(places) <= _FILES_COUNTED:
        held = {file: _directories(files, file) for file in places}
        planes = {key: place for key, place in planes.items() if place[1] < held[place[0]]}
    frames = 1 + max((frame for frame, _ in planes), default=-1)

    def plane(frame: int, channel: int) -> Values:
        if (frame, channel) not in planes:
            raise ImageFileError("expected a plane in the file, got none; it was never written, or is lost")
        file, page = planes[frame, channel]
        return files.pages(file).read_directory(page)

    return Stack(
        name=name,
        shape=pages.shape,
        dtype=pages.dtype.name,
        frames=frames,
        plane=plane,
        channels=channels,
        facts=facts,
        promised=frames if promised is None else promised,
    )


def _directories(files: TiffFiles, file: Path) -> int:
    try:
        return files.pages(file).directories
    except ImageFileError:
        return 0
