"""Two layers of one frame on one stream, as the page asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from qpi_live.camera.account import AccountSnapshot
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.wire import unpack

from tests.service.stations import Bench, until
from tests.service.watching import frame_bytes

STREAM = "/api/v1/stream?layer=phase&beside=interferogram"
HEADERS = {"host": "127.0.0.1"}


def test_stream_with_a_layer_beside_sends_both_of_the_same_frame_and_counts_it_once(bench: Bench) -> None:
    (first,) = bench.frames()
    with bench.client.websocket_connect(STREAM, headers=HEADERS) as stream:
        for live in _one_by_one(bench, first, more=2):
            phase, raw = unpack(frame_bytes(stream)), unpack(frame_bytes(stream))
            assert (phase.header.layer, raw.header.layer) == ("phase", "interferogram")
            assert phase.header.sequence == raw.header.sequence == live.frame.sequence
            assert np.array_equal(phase.payload, live.phase.phase_rad)
            assert np.array_equal(raw.payload, live.frame.pixels)
            assert raw.payload.dtype == live.frame.pixels.dtype
        (listener,) = bench.station.audience.present()
        until(lambda: listener.mailbox.account.snapshot() == AccountSnapshot(3, 3, 0))
        (subscriber,) = bench.client.get("/api/v1/stats", headers=HEADERS).json()["subscribers"]
        assert (subscriber["layer"], subscriber["beside"]) == ("phase", "interferogram")


def _one_by_one(bench: Bench, first: LiveFrame, more: int) -> Iterator[LiveFrame]:
    """`first`, then frames that are taken only once the one before was looked at: none supersedes another."""
    yield first
    for _ in range(more):
        yield bench.frames()[0]
