"""What tests of recordings do with a running station."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from tests.service.stations import PATIENCE_S, Bench, until

RECORDINGS = "/api/v1/recordings"
SHAPE = (96, 128)
LIST = "interferogram.frames.jsonl"


def begin(bench: Bench, **wanted: object) -> str:
    answer = bench.client.post(RECORDINGS, json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["name"])


def ended(bench: Bench, name: str) -> dict[str, object]:
    """How a recording ended, once it has."""
    assert bench.station.recordings._recorder(name).wait(PATIENCE_S)
    return dict(bench.client.get(f"{RECORDINGS}/{name}").json()["running"])


def send_one(bench: Bench) -> None:
    """A frame through the line, whether or not there is a phase of it."""
    before = bench.station.pipeline.account.snapshot()
    bench.camera.send()
    until(
        lambda: (
            bench.station.pipeline.account.snapshot().in_flight == 0
            and bench.station.pipeline.account.snapshot().captured > before.captured
        )
    )


def pages(folder: Path, layer: str = "interferogram") -> np.ndarray:
    with tifffile.TiffFile(folder / f"{layer}.ome.tif") as tiff:
        assert tiff.series[0].shape[0] == len(tiff.pages)
        return np.asarray(tiff.series[0].asarray())
