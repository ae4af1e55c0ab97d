"""OME-XML that goes with recorded pages.

Source: the OME data model of 2016-06, https://docs.openmicroscopy.org/ome-model/ (Instrument, Pixels, Plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from qpi_live.camera.files.writers.frame_list import FrameEntry
from qpi_live.camera.files.writers.manifest import Manifest
from qpi_live.camera.files.writers.page_file import PageLayout

_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_TYPES = {"uint8": "uint8", "uint16": "uint16", "float32": "float"}
_COUNT_DIGITS = 10
MOST_PLANES = 50_000
"""Frames of one file up to which each has its own time in the text; the list of frames has them all."""


def ome_text(
    manifest: Manifest, layer: str, layout: PageLayout, pages: int, entries: Sequence[FrameEntry] | None = None
) -> bytes:
    """The OME-XML of a file of `pages` frames, in ASCII; as long for any number of them while `entries` are not given.

    Args:
        manifest: of the recording.
        layer: that the file has.
        layout: of its pages.
        pages: how many there are.
        entries: of these pages, for the time and exposure of each; where they are too many, the first and the last.
    """
    root = Element("OME", {"xmlns": _SCHEMA, "Creator": f"qpi-live {version('qpi-live')}"})
    root.set("UUID", f"urn:uuid:{uuid5(NAMESPACE_URL, f'{manifest.name}/{layer}/{manifest.started_ns}')}")
    _instrument(root, manifest)
    image = SubElement(root, "Image", ID="Image:0", Name=f"{manifest.name} {layer}")
    started = datetime.fromtimestamp((entries[0].captured_ns if entries else manifest.started_ns) / 1e9, UTC)
    SubElement(image, "AcquisitionDate").text = started.strftime("%Y-%m-%dT%H:%M:%S")
    SubElement(image, "InstrumentRef", ID="Instrument:0")
    index = manifest.optics.get("refractive_index")
    settings = SubElement(image, "ObjectiveSettings", ID="Objective:0")
    if index:
        settings.set("RefractiveIndex", repr(index))
    _pixels(image, manifest, layer, layout, pages, entries)
    SubElement(image, "AnnotationRef", ID="Annotation:0")
    annotations = SubElement(root, "StructuredAnnotations")
    about = SubElement(annotations, "MapAnnotation", ID="Annotation:0", Namespace="qpi-live/recording")
    values = SubElement(about, "Value")
    for key, value in manifest.particulars(layer).items():
        SubElement(values, "M", K=key).text = value
    text: bytes = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False)
    return text


def _instrument(root: Element, manifest: Manifest) -> None:
    instrument = SubElement(root, "Instrument", ID="Instrument:0")
    wavelength_m = manifest.optics.get("wavelength_m")
    laser = SubElement(instrument, "Laser", ID="LightSource:0")
    if wavelength_m:
        laser.set("Wavelength", repr(round(wavelength_m * 1e9, 6)))
        laser.set("WavelengthUnit", "nm")
    camera = manifest.camera
    SubElement(
        instrument,
        "Detector",
        ID="Detector:0",
        Manufacturer=str(camera.get("vendor", "")),
        Model=str(camera.get("model", "")),
        SerialNumber=str(camera.get("serial", "")),
    )
    objective = SubElement(instrument, "Objective", ID="Objective:0")
    if manifest.optics.get("numerical_aperture"):
        objective.set("LensNA", repr(manifest.optics["numerical_aperture"]))
    if manifest.optics.get("magnification"):
        objective.set("NominalMagnification", repr(manifest.optics["magnification"]))


def _pixels(
    image: Element,
    manifest: Manifest,
    layer: str,
    layout: PageLayout,
    pages: int,
    entries: Sequence[FrameEntry] | None,
) -> None:
    count = str(pages) if entries is not None else f"{pages:0{_COUNT_DIGITS}d}"
    height, width = layout.shape
    pixels = SubElement(
        image,
        "Pixels",
        ID="Pixels:0",
        DimensionOrder="XYZCT",
        Type=_TYPES[layout.dtype.name],
        BigEndian="false",
        SizeX=str(width),
        SizeY=str(height),
        SizeZ="1",
        SizeC="1",
        SizeT=count,
    )
    if layer == "interferogram":
        pixels.set("SignificantBits", str(manifest.bit_depth))
    if layout.object_pixel_m:
        for axis in "XY":
            pixels.set(f"PhysicalSize{axis}", repr(round(layout.object_pixel_m * 1e6, 9)))
            pixels.set(f"PhysicalSize{axis}Unit", "µm")
    if entries is not None and len(entries) > 1:
        span_ns = entries[-1].captured_ns - entries[0].captured_ns
        pixels.set("TimeIncrement", repr(max(span_ns, 1) / 1e9 / (pages - 1)))
        pixels.set("TimeIncrementUnit", "s")
    channel = SubElement(pixels, "Channel", ID="Channel:0:0", Name=layer, SamplesPerPixel="1")
    light = SubElement(channel, "LightSourceSettings", ID="LightSource:0")
    wavelength_m = manifest.optics.get("wavelength_m")
    if wavelength_m:
        light.set("Wavelength", repr(round(wavelength_m * 1e9, 6)))
        light.set("WavelengthUnit", "nm")
    detector = SubElement(channel, "DetectorSettings", ID="Detector:0")
    if entries and entries[0].gain is not None:
        detector.set("Gain", repr(entries[0].gain))
    SubElement(pixels, "TiffData", IFD="0", PlaneCount=count)
    if entries is not None and len(entries) == pages:
        for number, entry in enumerate(entries):
            _plane(pixels, number, entry, entries[0].captured_ns)


def _plane(pixels: Element, number: int, entry: FrameEntry, began_ns: int) -> None:
    plane = SubElement(pixels, "Plane", TheZ="0", TheT=str(number), TheC="0")
    plane.set("DeltaT", f"{(entry.captured_ns - began_ns) / 1e9:.6f}")
    plane.set("DeltaTUnit", "s")
    if entry.exposure_us is not None:
        plane.set("ExposureTime", repr(entry.exposure_us))
        plane.set("ExposureTimeUnit", "µs")
