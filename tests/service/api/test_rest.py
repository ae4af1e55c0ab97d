"""Every route: what it answers, and that a bad request changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.models.errors import EngineUnavailable
from qpi_live.service.wire import FrameHeader

from tests.fakes import FakeCamera, FakeEngine, TunableFakeEngine, fringes
from tests.service.stations import Bench, open_station, running_bench, until


def npy(values: np.ndarray, allow_pickle: bool = False) -> bytes:
    file = BytesIO()
    np.save(file, values, allow_pickle=allow_pickle)
    return file.getvalue()


def tiff(values: np.ndarray) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, values)
    return file.getvalue()


def png(values: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def header_of(answer: Any) -> FrameHeader:
    return FrameHeader.model_validate_json(answer.headers["QPI-Frame"])


HOLOGRAM = fringes((128, 160), 0)


@pytest.fixture
def tunable(make_bench: Callable[..., Bench]) -> Bench:
    """A station whose engine can be tuned, with the real engine's name for frames that are sent."""
    return make_bench(TunableFakeEngine("goldstein"), FakeCamera((128, 160)))


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Such a station for all tests that send frames and change nothing."""
    camera, engine = FakeCamera((128, 160)), TunableFakeEngine("goldstein")
    station = open_station(tmp_path_factory.mktemp("station"), camera, engine)
    with running_bench(station, camera, engine) as bench:
        yield bench


@pytest.fixture
def unchanged(sending: Bench) -> Iterator[Bench]:
    """The bench; afterwards its account, tuning and audience must be what they were."""

    def state() -> tuple[object, ...]:
        engine, pipeline = sending.engine, sending.station.pipeline
        tuned = (engine.sideband, engine.calibration, engine.carrier_searches, sending.station.tuning.now)
        return pipeline.account.snapshot(), pipeline.is_ready, tuned, sending.station.audience.departed()

    sending.frames(2)
    before = state()
    yield sending
    assert state() == before
    sending.assert_exact()


def test_health_before_and_after_the_engine_is_warm(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    assert bench.client.get("/health/live").json() == {"status": "live"}
    bench.frames()
    answer = bench.client.get("/health/ready")
    assert (answer.status_code, answer.json()["ready"], answer.json()["state"]) == (200, True, "live")


def test_health_of_an_engine_that_cannot_start_says_why(make_bench: Callable[..., Bench]) -> None:
    engine = FakeEngine()
    engine.refusal = EngineUnavailable("expected frames of another size")
    bench = make_bench(engine)
    until(lambda: bench.station.pipeline.state.name == "failed")
    answer = bench.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "state": "failed", "sentence": "expected frames of another size"}
    assert bench.client.get("/health/live").status_code == 200


def test_health_of_an_engine_that_breaks_in_an_unknown_way_says_that_it_failed(
    make_bench: Callable[..., Bench],
) -> None:
    engine = FakeEngine()
    engine.refusal = MemoryError("no room")
    bench = make_bench(engine)
    until(lambda: bench.station.pipeline.state.name == "failed")
    assert bench.client.get("/health/ready").json()["sentence"] == "The engine cannot start: MemoryError('no room')."


def test_latest_before_the_first_frame_is_503_with_a_sentence(bench: Bench) -> None:
    answer = bench.client.get("/api/v1/frames/latest")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("expected a frame, and none has come yet")


@pytest.mark.parametrize("layer", ["phase", "wrapped", "interferogram"])
def test_latest_in_every_format_shows_the_same_values(bench: Bench, layer: str) -> None:
    (live,) = bench.frames()
    answers = {
        kind: bench.client.get("/api/v1/frames/latest", params={"layer": layer, "format": kind})
        for kind in ("npy", "tiff", "png")
    }
    exact = np.load(BytesIO(answers["npy"].content))
    expected = {
        "phase": live.phase.phase_rad, "wrapped": live.phase.wrapped_rad(), "interferogram": live.frame.pixels
    }[layer]  # fmt: skip
    assert np.array_equal(exact, expected)
    assert exact.dtype == expected.dtype
    assert np.array_equal(tifffile.imread(BytesIO(answers["tiff"].content)), exact)
    preview, header = np.asarray(Image.open(BytesIO(answers["png"].content))), header_of(answers["png"])
    shown = header.offset + header.scale * preview.astype(float)
    inside = (exact >= header.offset) & (exact <= header.offset + 255 * header.scale)
    assert np.abs(shown - exact)[inside].max() <= header.scale / 2 + 1e-4
    for answer in answers.values():
        described = header_of(answer)
        assert described.sequence == live.frame.sequence
        assert described.captured_ns == live.frame.captured_ns
        assert (described.layer, described.shape) == (layer, exact.shape)
        assert described.unit == ("grey value" if layer == "interferogram" else "rad")


def test_latest_as_tiff_carries_the_pixel_size_for_imagej(bench: Bench) -> None:
    bench.frames()
    answer = bench.client.get("/api/v1/frames/latest", params={"format": "tiff", "downscale": 2})
    with tifffile.TiffFile(BytesIO(answer.content)) as file:
        metadata, page = file.imagej_metadata, file.pages[0]
        assert metadata is not None
        assert (metadata["unit"], metadata["quantity"]) == ("um", "phase in rad")
        assert json.loads(metadata["Info"])["engine"]["name"] == "fake"
        pixels, units = page.tags["XResolution"].value
        assert pixels / units == pytest.approx(1 / (2 * 4.0 / 20), rel=1e-6)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"layer": "speckle"}, "query layer: .*'gradient', 'dic', 'darkfield', .* or '[a-z]+', got 'speckle'"),
        ({"format": "bmp"}, "query format: .*got 'bmp'"),
        ({"downscale": 0}, "query downscale: .*got '0'"),
        ({"downscale": 65}, "query downscale: .*got '65'"),
        ({"downscale": "x"}, "query downscale: .*got 'x'"),
    ],
)
def test_latest_with_a_bad_parameter_is_422_with_a_sentence(
    unchanged: Bench, params: dict[str, object], sentence: str
) -> None:
    answer = unchanged.client.get("/api/v1/frames/latest", params=params)
    assert answer.status_code == 422
    assert re.match(sentence, answer.json()["detail"])


def test_latest_in_blocks_larger_than_the_frame_is_422(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(camera=FakeCamera((40, 50)))
    bench.frames()
    answer = bench.client.get("/api/v1/frames/latest", params={"downscale": 64})
    assert answer.status_code == 422
    assert "at most 40" in answer.json()["detail"]


def test_stats_after_frames_add_up_and_name_everyone(bench: Bench) -> None:
    bench.frames(5)
    stats = bench.client.get("/api/v1/stats").json()
    assert stats["account"] == {"captured": 5, "delivered": 5, "in_flight": 0, "dropped": {}, "failed": {}}
    assert stats["state"]["name"] == "live"
    assert stats["ready"] is True
    assert set(stats["latency_ms"]) == {"queue_wait", "divide", "retrieval", "total"}
    assert stats["latency_ms"]["total"]["frames"] == 5
    assert stats["engine"]["name"] == "fake"
    assert stats["camera"]["optics"]["wavelength_m"] == 532e-9
    assert stats["quality"]["residues"] == 3
    assert stats["baseline"] is None


def test_metrics_after_frames_are_in_prometheus_form(bench: Bench) -> None:
    bench.engine.failures[1] = ValueError("broken")
    bench.frames()
    bench.camera.send()
    bench.frames(2)
    text = bench.client.get("/metrics").text
    assert "qpi_frames_captured_total 4.0" in text
    assert "qpi_frames_delivered_total 3.0" in text
    assert 'qpi_frames_failed_total{reason="internal error"} 1.0' in text
    assert 'qpi_stage_seconds_bucket{le="+Inf",stage="total"} 3.0' in text
    assert "qpi_ready 1.0" in text


def test_bright_cut_links_of_the_newest_frame_stand_in_header_statistics_and_metrics(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(open_engine("goldstein", EngineOptions()), FakeCamera((128, 160)))
    y, x = np.mgrid[:128, :160]
    torn = 0.21 * y + 0.26 * x + np.where(y < 64, 0, x / 160)  # fringes that slip by one along the middle
    bench.frames(shown=np.rint(127 + 100 * np.cos(2 * np.pi * torn)).astype(np.uint8))
    links = header_of(bench.client.get("/api/v1/frames/latest")).bright_cut_links
    assert links is not None
    assert bench.client.get("/api/v1/stats").json()["quality"]["bright_cut_links"] == links > 0
    assert f"qpi_bright_cut_links {float(links)}" in bench.client.get("/metrics").text


@pytest.mark.parametrize("encode", [npy, tiff, png])
def test_phase_of_a_sent_interferogram_is_the_engines(sending: Bench, encode: Callable[[np.ndarray], bytes]) -> None:
    answer = sending.client.post("/api/v1/phase", content=encode(HOLOGRAM), params={"wavelength_nm": 633})
    assert answer.status_code == 200, answer.text
    header, phase_rad = header_of(answer), np.load(BytesIO(answer.content))
    assert (header.camera, header.engine.name, header.unit) == ("sent", "goldstein", "rad")
    assert header.wavelength_m == pytest.approx(633e-9)
    assert {"queue_wait", "retrieve", "unwrap", "retrieval", "total", "encode"} <= set(header.stages_ms)
    assert phase_rad.dtype == np.float32
    # The cell's peak, 4 rad over the background, comes back.
    assert np.ptp(phase_rad[20:-20, 20:-20]) == pytest.approx(4.0, abs=0.6)


def test_phase_of_a_sent_interferogram_leaves_the_stream_alone(unchanged: Bench) -> None:
    assert unchanged.client.post("/api/v1/phase", content=npy(HOLOGRAM)).status_code == 200


def test_phase_as_png_and_tiff_is_described_alike(sending: Bench) -> None:
    for kind, media in (("png", "image/png"), ("tiff", "image/tiff")):
        answer = sending.client.post("/api/v1/phase", content=npy(HOLOGRAM), params={"format": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (200, media)
        assert header_of(answer).shape == HOLOGRAM.shape


huge = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117)
    + b"\n"
)
BAD_BODIES = {
    "empty": b"",
    "text": b"hello",
    "NaN": npy(np.full(HOLOGRAM.shape, np.nan)),
    "truncated npy": npy(HOLOGRAM)[:-100],
    "truncated png": png(HOLOGRAM)[:-200],
    "truncated tiff": tiff(HOLOGRAM)[:300],
    "pickled npy": npy(np.array([{"a": 1}], object), allow_pickle=True),
    "garbled npy header": b"\x93NUMPY\x01\x00v\x00" + b"{'descr': (".ljust(118, b"("),
    "archive": b"PK\x03\x04" + bytes(100),
    "huge": huge,
    "1-D": npy(np.arange(100.0)),
    "3-D": npy(np.zeros((3, 64, 64), np.uint8)),
    "complex": npy(np.zeros((64, 64), np.complex64)),
    "tiny": npy(np.zeros((2, 2), np.uint8)),
    "even grey": npy(np.full((128, 160), 99, np.uint8)),
}


@pytest.mark.parametrize(
    "path", ["/api/v1/phase", "/api/v1/compare?a=goldstein&b=goldstein", "/api/v1/engine/calibration"]
)
def test_bad_interferogram_is_4xx_with_one_sentence_and_changes_nothing(unchanged: Bench, path: str) -> None:
    method = "PUT" if "calibration" in path else "POST"
    for name, body in BAD_BODIES.items():
        if name == "empty" and path != "/api/v1/phase":
            continue  # without a body the others take the newest frame
        answer = unchanged.client.request(method, path, content=body)
        assert answer.status_code == 422, (name, answer.text)
        sentence = answer.json()["detail"]
        assert 20 < len(sentence) < 400, name
        assert "\n" not in sentence, name
        assert "expected" in sentence, name


def test_form_instead_of_a_file_is_415_with_the_right_curl_line(unchanged: Bench) -> None:
    path = "/api/v1/compare?a=goldstein&b=goldstein"
    answer = unchanged.client.post(path, files={"file": ("a.npy", npy(HOLOGRAM))})
    assert answer.status_code == 415
    assert f"curl --data-binary @hologram.tif 'http://127.0.0.1{path}'" in answer.json()["detail"]


BAD_PARAMETERS = [
    ("/api/v1/phase?engine=magic", "expected an engine among"),
    ("/api/v1/compare?a=goldstein&b=magic", "expected an engine among"),
    ("/api/v1/phase?bit_depth=4", "expected grey values below 16 at bit depth 4"),
    ("/api/v1/phase?bit_depth=12", "expected a bit depth that uint8 can hold"),
    ("/api/v1/phase?bit_depth=40", "query bit_depth"),
    ("/api/v1/phase?wavelength_nm=5", "expected a wavelength in metres"),
    ("/api/v1/phase?wavelength_nm=532&pixel_um=5&magnification=1e300", "expected a magnification of"),
    ("/api/v1/phase?wavelength_nm=532&pixel_um=1e-300", "expected a pixel pitch"),
    ("/api/v1/compare?a=goldstein", "query b"),
]


def test_bad_parameter_beside_an_interferogram_is_422(unchanged: Bench) -> None:
    for path, sentence in BAD_PARAMETERS:
        answer = unchanged.client.post(path, content=npy(HOLOGRAM))
        assert answer.status_code == 422, path
        assert answer.json()["detail"].startswith(sentence), path


@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_beyond_the_limit_is_413_and_changes_nothing(make_bench: Callable[..., Bench], is_chunked: bool) -> None:
    bench = make_bench(max_upload_mb=1)
    body = bytes(3 << 20)
    content: Any = (body[start : start + 65536] for start in range(0, len(body), 65536)) if is_chunked else body
    answer = bench.client.post("/api/v1/phase", content=content)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "expected a body of at most 1 MiB, got a larger one; see max_upload_mb"


def test_compare_of_the_newest_frame_measures_agreement_and_both_latencies(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(open_engine("goldstein", EngineOptions()), FakeCamera((128, 160)))
    assert bench.client.post("/api/v1/compare?a=goldstein&b=goldstein").status_code == 503
    bench.frames()
    answer = bench.client.post("/api/v1/compare?a=goldstein&b=goldstein").json()
    assert (answer["rms_rad"], answer["psnr_db"], answer["shape"]) == (0.0, None, [128, 160])
    assert answer["ssim"] == pytest.approx(1.0)
    assert min(answer["latency_ms"].values()) > 0


def test_compare_of_a_sent_frame_needs_no_camera(bench: Bench) -> None:
    answer = bench.client.post("/api/v1/compare?a=goldstein&b=goldstein", content=npy(HOLOGRAM))
    assert (answer.status_code, answer.json()["shape"]) == (200, [128, 160])


def test_engine_that_is_tuned_is_tuned_and_says_so(tunable: Bench) -> None:
    client, engine = tunable.client, tunable.engine
    (live,) = tunable.frames()
    assert client.get("/api/v1/engine").json()["tunable"] is True
    assert client.post("/api/v1/engine/carrier").status_code == 200
    assert engine.carrier_searches == 1
    assert client.put("/api/v1/engine/sideband", json={"sideband": "lower"}).json()["sideband"] == "lower"
    assert engine.sideband == "lower"
    assert client.put("/api/v1/engine/calibration").json()["calibration_ns"] == live.frame.captured_ns
    assert engine.calibration is live.frame
    assert client.put("/api/v1/engine/calibration", content=npy(HOLOGRAM)).status_code == 200
    assert np.array_equal(engine.calibration.pixels, HOLOGRAM)
    assert client.delete("/api/v1/engine/calibration").json()["calibration_ns"] is None
    assert engine.calibration is None


def test_calibration_of_another_shape_is_422(unchanged: Bench) -> None:
    answer = unchanged.client.put("/api/v1/engine/calibration", content=npy(HOLOGRAM[:100].copy()))
    assert answer.status_code == 422
    assert "(128, 160), got (100, 160)" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b'{"sideband": "left"}', b"{}", b"nonsense", b'{"sideband": "auto", "more": 1}', b""])
def test_bad_sideband_is_422_and_changes_nothing(unchanged: Bench, body: bytes) -> None:
    answer = unchanged.client.put("/api/v1/engine/sideband", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body")


def test_tuning_an_engine_that_cannot_be_tuned_is_409(bench: Bench) -> None:
    bench.frames()
    requests = [
        ("POST", "/api/v1/engine/carrier", {}),
        ("PUT", "/api/v1/engine/sideband", {"json": {"sideband": "upper"}}),
        ("DELETE", "/api/v1/engine/calibration", {}),
        ("PUT", "/api/v1/engine/calibration", {}),
    ]
    for method, path, body in requests:
        answer = bench.client.request(method, path, **body)
        assert answer.status_code == 409
        assert "has no carrier, sideband or calibration to adjust" in answer.json()["detail"]


def test_unknown_path_is_404(bench: Bench) -> None:
    answer = bench.client.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
