"""The Python client; and that it, REST and the stream show the same frame with the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from threading import Thread

import numpy as np
import pytest
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.station import Station
from qpi_live.service.wire import unpack
from websockets.sync.client import connect

from tests.fakes import OPTICS, FakeCamera, fringes
from tests.service.stations import PATIENCE_S, Serving, until
from tests.service.watching import frame_over

Served = tuple[Station, FakeCamera, str]


@pytest.fixture
def served(make_station: Callable[..., Station], serve: Serving) -> Served:
    """The real classical engine behind a real socket."""
    camera = FakeCamera((128, 160))
    station = make_station(camera, open_engine("goldstein", EngineOptions(OPTICS)))
    return station, camera, serve(station)


@pytest.mark.parametrize("layer", ["phase", "wrapped", "interferogram"])
def test_client_rest_and_stream_show_the_same_frame_with_the_same_numbers(served: Served, layer: str) -> None:
    station, camera, url = served
    with (
        PhaseClient(url) as client,
        connect(f"{url.replace('http', 'ws')}/api/v1/stream?layer={layer}", compression=None, proxy=None) as stream,
        closing(client.frames(layer)) as frames,
    ):
        camera.send()
        by_stream = unpack(frame_over(stream))
        by_client, by_rest = next(frames), client.latest(layer)
    live = station.hub.latest
    assert live is not None
    expected = {
        "phase": live.phase.phase_rad, "wrapped": live.phase.wrapped_rad(), "interferogram": live.frame.pixels
    }[layer]  # fmt: skip
    for values in (by_stream.payload, by_client.values, by_rest.values):
        assert values.dtype == expected.dtype
        assert np.array_equal(values, expected)
    for header in (by_stream.header, by_client.header, by_rest.header):
        assert header.captured_ns == live.frame.captured_ns
        stages_ms = {name: took for name, took in header.stages_ms.items() if name != "encode"}
        assert stages_ms == pytest.approx(live.stages_ms)
        same = by_stream.header.model_copy(update={"stages_ms": {}})
        assert header.model_copy(update={"stages_ms": {}}) == same


def test_client_preview_gives_values_in_rad(served: Served) -> None:
    _, camera, url = served
    with PhaseClient(url) as client, closing(client.frames(dtype="uint8", downscale=2)) as frames:
        camera.send()
        preview, exact = next(frames), client.latest(downscale=2)
    header = preview.header
    assert (preview.unit, preview.payload.dtype, preview.values.dtype) == ("rad", np.uint8, np.float32)
    inside = (exact.values >= header.offset) & (exact.values <= header.offset + 255 * header.scale)
    assert np.abs(preview.values - exact.values)[inside].max() <= 0.51 * header.scale


def test_client_frame_knows_its_time_and_its_optical_path(served: Served) -> None:
    _, camera, url = served
    before = datetime.now(UTC)
    with PhaseClient(url) as client, closing(client.frames()) as frames:
        camera.send()
        frame = next(frames)
        grey = client.latest("interferogram")
    assert before <= frame.captured <= datetime.now(UTC)
    assert np.allclose(frame.opd_m(), frame.values * 532e-9 / (2 * np.pi), rtol=1e-5)
    assert not frame.values.flags.writeable
    with pytest.raises(ValueError, match="expected phase and a known wavelength, got grey value"):
        grey.opd_m()


def test_client_sends_an_interferogram_and_gets_what_the_engine_makes_of_it(served: Served) -> None:
    hologram = fringes((128, 160), 3)
    with PhaseClient(served[2]) as client:
        frame = client.phase(hologram)
        twelve_bits = client.phase(hologram.astype(np.uint16) * 16, engine="goldstein", bit_depth=12)
        agreement = client.compare("goldstein", "goldstein", hologram)
        assert "goldstein" in [offer.name for offer in client.engine().engines if offer.opens]
    assert (frame.sequence, frame.unit, frame.header.bit_depth, twelve_bits.header.bit_depth) == (0, "rad", 8, 12)
    assert np.abs(frame.values - twelve_bits.values).max() < 1e-3
    assert agreement.rms_rad == 0


def test_client_whose_request_is_refused_raises_the_services_sentence(served: Served) -> None:
    with PhaseClient(served[2]) as client:
        with pytest.raises(ServiceError, match="expected grey values, got NaN") as refusal:
            client.phase(np.full((64, 64), np.nan))
        assert refusal.value.status == 422
        with pytest.raises(ServiceError, match="expected an engine among"):
            client.phase(fringes((128, 160), 0), engine="magic")
        with pytest.raises(ServiceError, match="downscale") as refusal:
            next(client.frames(downscale=0))
        assert refusal.value.status == 422


def test_client_without_a_service_says_where_it_looked() -> None:
    with PhaseClient("http://127.0.0.1:9") as client:
        assert not client.is_ready()
        with pytest.raises(ServiceError, match=r"expected a service at http://127\.0\.0\.1:9"):
            client.stats()
        with pytest.raises(ServiceError, match=r"expected a service at http://127\.0\.0\.1:9"):
            next(client.frames())


def test_client_of_an_address_without_a_scheme_says_what_an_address_looks_like() -> None:
    with (
        PhaseClient("localhost:8000") as client,
        pytest.raises(ServiceError, match=r"such as http://127\.0\.0\.1:8000, got 'localhost:8000'"),
    ):
        next(client.frames())


def test_client_of_something_that_is_no_web_service_says_so() -> None:
    with create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with PhaseClient(url) as client, pytest.raises(ServiceError, match=f"expected a service at {url}"):
            next(client.frames())
        thread.join()


def test_client_stats_are_typed_and_add_up(served: Served) -> None:
    _, camera, url = served
    with PhaseClient(url) as client, closing(client.frames()) as frames:
        camera.send(3)
        seen = next(frames)
        while seen.sequence < 2:
            seen = next(frames)
        stats = client.stats()
        assert client.is_ready()
    account = stats.account
    assert account.captured == 3
    ended = account.delivered + sum(account.dropped.values()) + sum(account.failed.values())
    assert account.captured == ended + account.in_flight
    (subscriber,) = stats.subscribers
    assert (subscriber.layer, subscriber.dtype) == ("phase", "float32")


def test_client_frames_end_when_the_service_stops(make_station: Callable[..., Station], serve: Serving) -> None:
    camera = FakeCamera((128, 160))
    station = make_station(camera, open_engine("goldstein", EngineOptions()))
    url = serve(station)
    received: list[int] = []

    def read() -> None:
        with PhaseClient(url) as client:
            received.extend(frame.sequence for frame in client.frames())

    reader = Thread(target=read)
    reader.start()
    until(lambda: bool(station.audience.present()))
    camera.send()
    until(lambda: bool(received))
    serve.stop()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert received == [0]


def test_client_that_reconnects_goes_on_when_the_service_is_back(
    make_station: Callable[..., Station], serve: Serving
) -> None:
    cameras = [FakeCamera((128, 160)), FakeCamera((128, 160))]
    stations = [make_station(camera, open_engine("goldstein", EngineOptions())) for camera in cameras]
    url = serve(stations[0])
    with PhaseClient(url) as client, closing(client.frames(reconnect=True)) as frames:
        cameras[0].send()
        first = next(frames)
        serve.stop()
        # The second service listens elsewhere; the client is pointed there in the middle of its iteration.
        client._stream_url = serve(stations[1]).replace("http", "ws") + "/api/v1/stream"
        cameras[1].send()
        second = next(frames)
    assert first.sequence == second.sequence == 0
    assert second.header.captured_ns > first.header.captured_ns


def test_client_of_a_service_that_does_not_answer_says_how_long_it_waited(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with PhaseClient(url, timeout_s=0.2) as client:
            for ask in (client.stats, lambda: client.recordings.download("run", tmp_path)):
                with pytest.raises(ServiceError, match=f"expected an answer from {url} within 0.2 s") as silence:
                    ask()
                assert silence.value.status is None
