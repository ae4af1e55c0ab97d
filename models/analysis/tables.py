"""Tables of figures as files: CSV, Parquet, and tracks as TrackMate's XML."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO, StringIO
from math import isfinite, pi, sqrt
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
from qpi_live.models.analysis.mass_doubt import UNCERTAIN
from qpi_live.models.analysis.scale import Scale
from qpi_live.models.analysis.tracking import Event, Track


class TableError(RuntimeError):
    """A table cannot be written here; the text says what to install."""


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """A table as comma-separated text with a line of names; the unit is in each name. Missing figures are empty.

    Numbers are written so that reading them back gives the same ones.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([plain(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def plain(value: Any) -> Any:
    """A figure as CSV has it: empty where it is missing or infinite, 0 or 1 for no or yes."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return int(value)
    return "" if value is None or (isinstance(value, float) and not isfinite(value)) else value


def parquet_bytes(columns: Mapping[str, Sequence[Any]], notes: Mapping[str, str] | None = None) -> bytes:
    """A table as Apache Parquet, with `notes` in its metadata.

    Raises:
        TableError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415 - 40 MB that few need
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise TableError("Parquet needs pyarrow: pip install 'qpi-live[tables]'; CSV needs nothing") from error
    table = pyarrow.table({name: pyarrow.array(list(values), from_pandas=True) for name, values in columns.items()})
    file = BytesIO()
    parquet.write_table(table.replace_schema_metadata(dict(notes or {})), file)
    return file.getvalue()


def trackmate_xml(tracks: Iterable[Track], events: Iterable[Event], scale: Scale, is_timed: bool = True) -> str:
    """Tracks as TrackMate 7 reads them (Fiji: Plugins, Tracking, Load a TrackMate file).

    Positions are in µm where the scale is known, else in pixels; a spot's radius is that of a disc of the cell's area.
    A division is an edge from the mother's last spot to each daughter's first one.

    Args:
        tracks: with their histories.
        events: divisions among them.
        scale: the optics.
        is_timed: whether the histories have times in s; else their frames are the times.
    """
    pixel = scale.pixel_um or 1.0
    root = Xml.Element("TrackMate", version="7.11.1")
    units = {"spatialunits": "micron" if scale.pixel_um else "pixel", "timeunits": "sec" if is_timed else "frame"}
    model = Xml.SubElement(root, "Model", units)
    _declare_features(model, scale)
    kept = [track for track in tracks if len(track.history)]
    ids: dict[tuple[int, int], int] = {}
    by_frame: dict[int, list[tuple[int, Track, np.ndarray[Any, Any]]]] = {}
    for track in kept:
        for row, point in enumerate(track.history):
            ids[track.id, row] = len(ids)
            by_frame.setdefault(int(point[0]), []).append((ids[track.id, row], track, point))
    _write_spots(model, by_frame, scale, pixel, is_timed)
    all_tracks = Xml.SubElement(model, "AllTracks")
    filtered = Xml.SubElement(model, "FilteredTracks")
    for number, family in enumerate(_families(kept, events)):
        element = Xml.SubElement(
            all_tracks, "Track", name=f"Track_{number}", TRACK_ID=str(number), TRACK_INDEX=str(number)
        )
        Xml.SubElement(filtered, "TrackID", TRACK_ID=str(number))
        edges = [(ids[t.id, row], ids[t.id, row + 1]) for t in family for row in range(len(t.history) - 1)]
        own = {track.id: track for track in family}
        edges += [(ids[t.parent, len(own[t.parent].history) - 1], ids[t.id, 0]) for t in family if t.parent in own]
        for source, target in edges:
            Xml.SubElement(element, "Edge", SPOT_SOURCE_ID=str(source), SPOT_TARGET_ID=str(target), LINK_COST="0")
    settings = Xml.SubElement(root, "Settings")
    Xml.SubElement(
        settings,
        "ImageData",
        filename="",
        folder="",
        width="0",
        height="0",
        nslices="1",
        nframes=str(max(by_frame, default=0) + 1),
        pixelwidth=str(pixel),
        pixelheight=str(pixel),
        voxeldepth="1",
        timeinterval=repr(_interval_s(by_frame) if is_timed else 1.0),
    )
    Xml.indent(root)
    return Xml.tostring(root, "unicode", xml_declaration=True)


def _declare_features(model: Xml.Element, scale: Scale) -> None:
    features = Xml.SubElement(model, "FeatureDeclarations")
    spots = Xml.SubElement(features, "SpotFeatures")
    declared = [
        ("QUALITY", "Quality", "QUALITY"),
        ("POSITION_X", "X", "POSITION"),
        ("POSITION_Y", "Y", "POSITION"),
        ("POSITION_Z", "Z", "POSITION"),
        ("POSITION_T", "T", "TIME"),
        ("FRAME", "Frame", "NONE"),
        ("RADIUS", "Radius", "LENGTH"),
        ("VISIBILITY", "Visibility", "NONE"),
        ("PHASE", "Integrated phase (rad px)", "NONE"),
        ("PHASE_ERROR", "Its standard error (rad px)", "NONE"),
        ("UNCERTAIN", "Error above 5 %", "NONE"),
    ]
    if scale.pg_per_rad_px is not None:
        declared.append(("DRY_MASS", f"Dry mass (pg, alpha {scale.alpha_um3_per_pg} um3/pg)", "NONE"))
        declared.append(("DRY_MASS_ERROR", "Its standard error (pg)", "NONE"))
    for feature, name, dimension in declared:
        is_int = str(feature in ("FRAME", "VISIBILITY", "UNCERTAIN")).lower()
        Xml.SubElement(
            spots, "Feature", feature=feature, name=name, shortname=name[:12], dimension=dimension, isint=is_int
        )
    Xml.SubElement(features, "EdgeFeatures")
    Xml.SubElement(features, "TrackFeatures")


def _write_spots(
    model: Xml.Element,
    by_frame: Mapping[int, list[tuple[int, Track, np.ndarray[Any, Any]]]],
    scale: Scale,
    pixel: float,
    is_timed: bool,
) -> None:
    spots = Xml.SubElement(model, "AllSpots", nspots=str(sum(len(found) for found in by_frame.values())))
    for frame in sorted(by_frame):
        of_frame = Xml.SubElement(spots, "SpotsInFrame", frame=str(frame))
        for spot, track, (_, time_s, y, x, area, phase, _, error) in by_frame[frame]:
            described = {
                "ID": str(spot),
                "name": f"cell {track.id}",
                "QUALITY": "1",
                "VISIBILITY": "1",
                "FRAME": str(frame),
                "POSITION_X": repr(float(x * pixel)),
                "POSITION_Y": repr(float(y * pixel)),
                "POSITION_Z": "0",
                "POSITION_T": repr(float(time_s if is_timed else frame)),
                "RADIUS": repr(float(sqrt(area / pi) * pixel)),
                "PHASE": repr(float(phase)),
                "PHASE_ERROR": repr(float(error)),
                "UNCERTAIN": str(int(error > UNCERTAIN * abs(phase))),
            }
            if scale.pg_per_rad_px is not None:
                described["DRY_MASS"] = repr(float(phase * scale.pg_per_rad_px))
                described["DRY_MASS_ERROR"] = repr(float(error * scale.pg_per_rad_px))
            Xml.SubElement(of_frame, "Spot", described)


def _interval_s(by_frame: Mapping[int, list[tuple[int, Track, np.ndarray[Any, Any]]]]) -> float:
    """The mean time between frames, by the first and the last that has a spot; 1 where there are not two."""
    first, last = min(by_frame, default=0), max(by_frame, default=0)
    return float(by_frame[last][0][2][1] - by_frame[first][0][2][1]) / (last - first) if last > first else 1.0


def _families(tracks: list[Track], events: Iterable[Event]) -> list[list[Track]]:
    """Tracks that descend from one cell, together."""
    founder = {track.id: track.parent for track in tracks}
    for event in events:
        if event.kind == "divided":
            founder |= {child: event.id for child in event.others if child in founder}

    def first(one: int) -> int:
        while founder.get(one, 0) in founder:
            one = founder[one]
        return one

    families: dict[int, list[Track]] = {}
    for track in tracks:
        families.setdefault(first(track.id), []).append(track)
    return list(families.values())
