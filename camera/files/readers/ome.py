"""OME-XML: which plane of an OME-TIFF is which channel and time, and what is known of scale, light and pace.

Source: the OME data model of 2016-06, https://docs.openmicroscopy.org/ome-model/ (TiffData, Pixels, Channel, Plane).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from qpi_live.camera.files.choice import FEWEST_UNFOLDED
from qpi_live.camera.files.contents import Channel, Facts, optics_of, rate_of
from qpi_live.camera.files.image_bounds import ImageFileError

METRES = {
    "m": 1.0,
    "meter": 1.0,
    "cm": 1e-2,
    "centimeter": 1e-2,
    "mm": 1e-3,
    "millimeter": 1e-3,
    "µm": 1e-6,  # micro sign
    "μm": 1e-6,  # Greek mu
    "um": 1e-6,
    "\\u00b5m": 1e-6,  # as ImageJ writes it
    "micron": 1e-6,
    "microns": 1e-6,
    "micrometer": 1e-6,
    "nm": 1e-9,
    "nanometer": 1e-9,
    "å": 1e-10,
    "angstrom": 1e-10,
    "inch": 0.0254,
    "in": 0.0254,
}
SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "µs": 1e-6,
    "us": 1e-6,
    "microsecond": 1e-6,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
_MOST_PLANES = 10_000_000
_STOKES_SHIFT_M = 10e-9  # light that comes out longer than it went in by so much is fluorescence

PlaneKey = tuple[int, int]
"""(frame, channel), the frame counted through times and depths."""


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image of an OME file: a position, as a rule.

    Attributes:
        name: as the file has it, or "image N".
        frames: times × depths that it says it has.
        channels: of each frame.
        facts: scale, wavelength, pace and bit depth.
        planes: where each (frame, channel) lies: file name, "" for this one, and number of the page.
    """

    name: str
    frames: int
    channels: tuple[Channel, ...]
    facts: Facts
    planes: dict[PlaneKey, tuple[str, int]]


def parse_ome(xml: str) -> list[OmeImage]:
    """The images that OME-XML describes; none where it only points to another file.

    Raises:
        ImageFileError: it is no OME-XML.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ImageFileError(f"expected OME-XML in the file's description, got an error ({error})") from error
    return [_image(root, image, number) for number, image in enumerate(_all(root, "Image"))]


def metadata_file(xml: str) -> str:
    """The name of the file that has the description, where this one only points to it; "" otherwise."""
    with suppress(ElementTree.ParseError):
        for pointer in _all(ElementTree.fromstring(xml), "BinaryOnly"):
            return pointer.get("MetadataFile", "")
    return ""


def metres(value: object, unit: object, unit_if_none: str) -> float | None:
    """A length in metres; None where it is not a number or of an unknown unit."""
    return _in_units(value, unit, unit_if_none, METRES)


def seconds(value: object, unit: object, unit_if_none: str) -> float | None:
    """A time in seconds; None where it is not a number or of an unknown unit."""
    return _in_units(value, unit, unit_if_none, SECONDS)


def _in_units(value: object, unit: object, unit_if_none: str, table: dict[str, float]) -> float | None:
    scale = table.get(str(unit or unit_if_none).strip().lower())
    number = _number(value)
    return None if scale is None or number is None else number * scale


def _number(value: object) -> float | None:
    with suppress(TypeError, ValueError):
        return float(value)  # type: ignore[arg-type]
    return None


def _whole(element: Element, name: str, otherwise: int) -> int:
    with suppress(ValueError):
        return int(element.get(name, otherwise))
    return otherwise


def _all(element: Element, name: str) -> Iterator[Element]:
    """Descendants of this name, whatever the schema's year."""
    return (found for found in element.iter() if isinstance(found.tag, str) and found.tag.rpartition("}")[2] == name)


def _image(root: Element, image: Element, number: int) -> OmeImage:
    pixels = next(_all(image, "Pixels"), None)
    if pixels is None:
        raise ImageFileError("expected an OME image with pixels, got one without")
    channels = tuple(_channel(root, channel) for channel in _all(pixels, "Channel"))
    if not channels:
        channels = (Channel(),) * max(1, _whole(pixels, "SizeC", 1))
    sizes = {"Z": max(1, _whole(pixels, "SizeZ", 1)), "C": len(channels), "T": max(1, _whole(pixels, "SizeT", 1))}
    if sizes["Z"] * sizes["C"] * sizes["T"] > _MOST_PLANES:
        raise ImageFileError(f"expected at most {_MOST_PLANES} planes in an OME image, got more")
    facts = Facts(
        optics=optics_of(
            object_pixel_m=metres(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit"), "µm"),
            aperture=_aperture(root, image),
        ),
        frame_rate_hz=rate_of(_interval_s(pixels, sizes["T"])) if sizes["Z"] == 1 else None,
        bit_depth=_whole(pixels, "SignificantBits", 0) or None,
    )
    name = image.get("Name") or f"image {number}"
    planes, frames = dict(_planes(pixels, sizes)), sizes["T"] * sizes["Z"]
    if frames == 1 and len(channels) >= FEWEST_UNFOLDED and not any(one.name or one.kind for one in channels):
        planes, frames = {(channel, 0): place for (_, channel), place in planes.items()}, len(channels)
        channels = (Channel(),)
    return OmeImage(name, frames, channels, facts, planes)


def _planes(pixels: Element, sizes: dict[str, int]) -> Iterator[tuple[PlaneKey, tuple[str, int]]]:
    order = [axis for axis in pixels.get("DimensionOrder", "XYCZT")[2:] if axis in sizes]
    order += [axis for axis in "CZT" if axis not in order]
    total = sizes["Z"] * sizes["C"] * sizes["T"]
    blocks: Iterable[Element] = list(_all(pixels, "TiffData")) or [Element("TiffData")]
    for block in blocks:
        uuid = next(_all(block, "UUID"), None)
        file = "" if uuid is None else uuid.get("FileName", "")
        start = stride = 0
        stride = 1
        for axis in order:
            start += _whole(block, f"First{axis}", 0) * stride
            stride *= sizes[axis]
        count = _whole(block, "PlaneCount", 1 if block.get("IFD") is not None else total)
        first_page = _whole(block, "IFD", 0)
        for step in range(min(count, total - start)):
            at, rest = {}, start + step
            for axis in order:
                rest, at[axis] = divmod(rest, sizes[axis])
            yield (at["T"] * sizes["Z"] + at["Z"], at["C"]), (file, first_page + step)


def _channel(root: Element, channel: Element) -> Channel:
    excitation = metres(channel.get("ExcitationWavelength"), channel.get("ExcitationWavelengthUnit"), "nm")
    emission = metres(channel.get("EmissionWavelength"), channel.get("EmissionWavelengthUnit"), "nm")
    kinds = [channel.get("ContrastMethod", ""), channel.get("IlluminationType", "")]
    is_shifted = excitation is not None and emission is not None and emission - excitation > _STOKES_SHIFT_M
    if channel.get("Fluor") or is_shifted:
        kinds.append("Fluorescence")
    wavelength_m = _source_wavelength(root, channel) or excitation or emission
    return Channel(channel.get("Name", ""), " ".join(kind for kind in kinds if kind), wavelength_m)


def _source_wavelength(root: Element, channel: Element) -> float | None:
    """The wavelength of the light source that a channel refers to."""
    for setting in _all(channel, "LightSourceSettings"):
        stated = metres(setting.get("Wavelength"), setting.get("WavelengthUnit"), "nm")
        if stated is not None:
            return stated
        for laser in _all(root, "Laser"):
            if laser.get("ID") == setting.get("ID"):
                return metres(laser.get("Wavelength"), laser.get("WavelengthUnit"), "nm")
    return None


def _aperture(root: Element, image: Element) -> float | None:
    used = {setting.get("ID") for setting in _all(image, "ObjectiveSettings")}
    found = [one for one in _all(root, "Objective") if not used or one.get("ID") in used]
    return _number(found[0].get("LensNA")) if len(found) == 1 else None


def _interval_s(pixels: Element, times: int) -> float | None:
    stated = seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit"), "s")
    if stated:
        return stated
    taken = {}
    for plane in _all(pixels, "Plane"):
        at_s = seconds(plane.get("DeltaT"), plane.get("DeltaTUnit"), "s")
        if at_s is not None and _whole(plane, "TheC", 0) == 0 and _whole(plane, "TheZ", 0) == 0:
            taken[_whole(plane, "TheT", 0)] = at_s
    if len(taken) < 2:
        return None
    first, last = min(taken), max(taken)
    return (taken[last] - taken[first]) / (last - first)
