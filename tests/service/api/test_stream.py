"""The stream: what each client gets, that none delays another, and that every frame is accounted for."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import pytest
from qpi_live.camera.account import AccountSnapshot
from qpi_live.service.api.stream import CLIENT_GONE, CLIENT_STUCK
from qpi_live.service.http import websocket_protocol
from qpi_live.service.station import Station
from qpi_live.service.viewing.audience import MOST_CLIENTS
from qpi_live.service.wire import WireFrame, unpack
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from websockets.sync.client import connect

from tests.fakes import FakeCamera, FakeEngine
from tests.service.stations import Bench, Serving, until
from tests.service.watching import STREAM, RawClient, frame_bytes, frame_over, said

HEADERS = {"host": "127.0.0.1"}


def open_stream(bench: Bench, query: str = "") -> WebSocketTestSession:
    return bench.client.websocket_connect(f"{STREAM}?{query}", headers=HEADERS)


def frame_from(stream: WebSocketTestSession) -> WireFrame:
    return unpack(frame_bytes(stream))


@pytest.mark.parametrize("layer", ["phase", "wrapped", "interferogram"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("downscale", [1, 3])
def test_stream_sends_the_layer_dtype_and_size_that_were_asked_for(
    bench: Bench, layer: str, dtype: str, downscale: int
) -> None:
    (live,) = bench.frames()
    with open_stream(bench, f"layer={layer}&dtype={dtype}&downscale={downscale}") as stream:
        received = frame_from(stream)
    header, payload = received.header, received.payload
    assert (header.layer, header.downscale, header.sequence) == (layer, downscale, live.frame.sequence)
    assert payload.shape == header.shape == (96 // downscale, 128 // downscale)
    assert payload.dtype == np.dtype("uint8" if dtype == "uint8" or layer == "interferogram" else "float32")
    assert header.object_pixel_m == pytest.approx(4e-6 / 20 * downscale)
    assert {"queue_wait", "divide", "retrieval", "total", "encode"} == set(header.stages_ms)
    if (layer, dtype, downscale) == ("phase", "float32", 1):
        assert np.array_equal(payload, live.phase.phase_rad)


def test_stream_sends_every_frame_in_order_to_a_client_that_keeps_up(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench) as stream:
        assert frame_from(stream).header.sequence == 0
        for sequence in range(1, 8):
            bench.frames()
            assert frame_from(stream).header.sequence == sequence
        (listener,) = bench.station.audience.present()
        until(lambda: listener.mailbox.account.snapshot() == AccountSnapshot(8, 8, 0))


def test_stream_takes_a_new_choice_at_any_time(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench) as stream:
        assert frame_from(stream).header.layer == "phase"
        stream.send_text('{"layer": "interferogram", "downscale": 2}')
        (listener,) = bench.station.audience.present()
        until(lambda: listener.choice.layer == "interferogram")
        bench.frames()
        header = frame_from(stream).header
        assert (header.layer, header.downscale) == ("interferogram", 2)


def test_stream_that_stands_still_shows_a_new_choice_on_the_last_frame(bench: Bench) -> None:
    bench.frames()
    bench.camera.end()
    until(lambda: bench.station.pipeline.state.name == "ended")
    with open_stream(bench) as stream:
        assert frame_from(stream).header.layer == "phase"
        stream.send_text('{"layer": "wrapped"}')
        assert frame_from(stream).header.layer == "wrapped"


def test_frame_that_stands_still_keeps_few_of_the_views_it_was_looked_at_in(bench: Bench) -> None:
    (live,) = bench.frames()
    kept: list[weakref.ref[np.ndarray]] = []

    def render() -> np.ndarray:
        rendered = np.zeros(4)
        kept.append(weakref.ref(rendered))
        return rendered

    for number in range(200):
        live.once(number, render)
    assert 0 < sum(one() is not None for one in kept) < 50


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nonsense", "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ("[" * 2000, "expected a JSON object"),
        ('{"layer": "speckle"}', "layer: "),
        ('{"downscale": 0}', "downscale: "),
        ('{"downscale": 64, "dtype": "float64"}', "dtype: "),
        ('{"max_fps": -1}', "max_fps: "),
        ('{"max_fps": NaN}', "max_fps: "),
        ('{"lo": 2, "hi": 1}', "expected lo below hi"),
        ('{"lo": 0, "hi": 1e-320}', "expected lo below hi"),
        ('{"lo": -1e308, "hi": 1e308}', "lo: "),
        ('{"colour": "red"}', "colour: "),
    ],
)
def test_stream_answers_a_bad_choice_with_a_sentence_and_keeps_the_old_one(
    bench: Bench, text: str, sentence: str
) -> None:
    bench.frames()
    with open_stream(bench, "dtype=uint8") as stream:
        frame_from(stream)
        (listener,) = bench.station.audience.present()
        before = listener.choice
        stream.send_text(text)
        assert said(stream, "error").startswith(sentence)
        assert listener.choice == before
        bench.frames()
        assert frame_from(stream).header.dtype == "uint8"


@pytest.mark.parametrize(
    "query", ["layer=speckle", "dtype=float64", "downscale=65", "downscale=64&more=1", "max_fps=inf", "lo=1&hi=1"]
)
def test_stream_with_a_bad_query_is_refused_with_a_sentence(bench: Bench, query: str) -> None:
    with pytest.raises(WebSocketDenialResponse) as refusal, open_stream(bench, query):
        pass
    assert refusal.value.status_code == 422
    assert len(refusal.value.json()["detail"]) > 10
    assert not bench.station.audience.present()


def test_stream_in_blocks_larger_than_the_frame_is_refused(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(camera=FakeCamera((40, 50)))
    with pytest.raises(WebSocketDenialResponse) as refusal, open_stream(bench, "downscale=41"):
        pass
    assert "at most 40" in refusal.value.json()["detail"]


def test_stream_with_a_maximum_rate_drops_and_counts_what_comes_too_soon(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench, "max_fps=0.001") as stream:
        frame_from(stream)
        bench.frames(5)
        (listener,) = bench.station.audience.present()
        until(lambda: listener.mailbox.account.snapshot().in_flight == 0)
        account = listener.mailbox.account.snapshot()
        assert (account.captured, account.delivered) == (6, 1)
        assert set(account.dropped) <= {"rate limit", "superseded"}
        assert account.is_exact


def test_stream_for_more_clients_than_may_watch_is_503(bench: Bench) -> None:
    audience = bench.station.audience
    listeners = [audience.join("test", bench_choice(), lambda: None) for _ in range(MOST_CLIENTS)]
    with pytest.raises(WebSocketDenialResponse) as refusal, open_stream(bench):
        pass
    assert refusal.value.status_code == 503
    for listener in listeners:
        audience.leave(listener, "test")


def bench_choice():
    from qpi_live.service.viewing.audience import Choice

    return Choice()


def test_stream_renders_a_view_once_for_all_who_want_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from qpi_live.service.viewing import layers

    rendered = []
    render = layers.render
    monkeypatch.setattr(layers, "render", lambda *given: rendered.append(given) or render(*given))
    with open_stream(bench) as first, open_stream(bench) as second, open_stream(bench, "dtype=uint8") as preview:
        until(lambda: len(bench.station.audience.present()) == 3)
        bench.frames()
        assert frame_bytes(first) is frame_bytes(second)
        frame_from(preview)
    assert len(rendered) == 2
    assert bench.station.latencies.percentiles()["encode"].frames == 2


def test_stream_of_a_frame_that_cannot_be_rendered_counts_it_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qpi_live.service.viewing import layers

    render = layers.render

    def fail_once(phase, view):
        if phase.frame.sequence == 1:
            raise MemoryError
        return render(phase, view)

    monkeypatch.setattr(layers, "render", fail_once)
    bench.frames()
    with open_stream(bench) as stream:
        assert frame_from(stream).header.sequence == 0
        bench.frames()
        (listener,) = bench.station.audience.present()
        until(lambda: listener.mailbox.account.snapshot().failed == {"internal error": 1})
        bench.frames()
        assert frame_from(stream).header.sequence == 2


def test_stream_whose_client_left_is_counted_among_the_departed(bench: Bench) -> None:
    bench.frames()
    with open_stream(bench) as stream:
        frame_from(stream)
    until(lambda: not bench.station.audience.present())
    connections, account = bench.station.audience.departed()
    assert connections == {CLIENT_GONE: 1}
    assert account.is_exact
    assert account.in_flight == 0
    assert "test" not in bench.station.hub.subscribers()


# From here on over a real socket.


@pytest.fixture
def served(make_station: Callable[..., Station], serve: Serving) -> tuple[Station, FakeCamera, str]:
    """Frames large enough that a few fill every buffer on the way."""
    camera = FakeCamera((1200, 1000))
    station = make_station(camera, FakeEngine())
    return station, camera, serve(station)


def test_client_that_never_reads_delays_nobody_and_is_let_go(
    served: tuple[Station, FakeCamera, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    station, camera, url = served
    monkeypatch.setattr(websocket_protocol, "STALL_S", 1.0)
    frames = 12
    with (
        RawClient(url),
        connect(url.replace("http", "ws") + STREAM, compression=None, max_size=None, proxy=None) as reader,
    ):
        until(lambda: len(station.audience.present()) == 2)
        stuck, reading = station.audience.present()
        for sequence in range(frames):
            camera.send()
            assert unpack(frame_over(reader)).header.sequence == sequence
            snapshot = stuck.mailbox.account.snapshot()
            assert snapshot.is_exact
            assert snapshot.in_flight <= 2  # one on its way, one in the mailbox: memory stays flat
        until(lambda: reading.mailbox.account.snapshot() == AccountSnapshot(frames, frames, 0))
        until(lambda: station.audience.present() == [reading])
    connections, account = station.audience.departed()
    assert connections[CLIENT_STUCK] == 1
    assert account.is_exact
    assert account.failed[CLIENT_STUCK] == 1


def test_accounts_read_at_any_instant_under_load_are_exact(served: tuple[Station, FakeCamera, str]) -> None:
    station, camera, url = served
    with (
        RawClient(url),
        connect(url.replace("http", "ws") + STREAM + "?downscale=8", compression=None, proxy=None) as quick,
        connect(url.replace("http", "ws") + STREAM + "?dtype=uint8&downscale=2", compression=None, proxy=None) as slow,
    ):
        until(lambda: len(station.audience.present()) == 3)
        camera.send(25)
        seen = -1
        while seen < 24:
            seen = unpack(frame_over(quick)).header.sequence
            for listener in station.audience.present():
                assert listener.mailbox.account.snapshot().is_exact
            assert station.pipeline.account.snapshot().is_exact
            assert station.audience.total().is_exact
        assert unpack(frame_over(slow)).header.dtype == "uint8"
    assert station.pipeline.account.snapshot().captured == 25


def test_message_too_large_from_a_client_ends_only_its_own_connection(served: tuple[Station, FakeCamera, str]) -> None:
    station, camera, url = served
    address = url.replace("http", "ws") + STREAM + "?downscale=8"
    with connect(address, compression=None, proxy=None) as other:
        with connect(address, compression=None, proxy=None) as loud:
            loud.send("x" * 100_000)
            until(lambda: len(station.audience.present()) == 1)
        camera.send()
        assert unpack(frame_over(other)).header.sequence == 0


def test_stream_does_not_offer_compression(served: tuple[Station, FakeCamera, str]) -> None:
    with connect(served[2].replace("http", "ws") + STREAM, compression="deflate", proxy=None) as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
