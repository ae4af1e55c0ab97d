"""What a request for the phase of a sent interferogram asks for is done, said in the header, or refused by name."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from qpi_live.service.wire import FrameHeader

from tests.fakes import FakeCamera, TunableFakeEngine
from tests.models.fringes import bump, interferogram
from tests.service.stations import Bench, open_station, running_bench

SHAPE = (128, 160)
CELL_RAD = bump(SHAPE, 4.0)
BUFFER = BytesIO()
np.save(BUFFER, interferogram(bump(SHAPE, 4.0)))
HOLOGRAM = BUFFER.getvalue()


@pytest.fixture(scope="module")
def tunable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A station whose engine has the real one's name; one for all, as what is sent changes nothing of it."""
    camera, engine = FakeCamera(SHAPE), TunableFakeEngine("goldstein")
    station = open_station(tmp_path_factory.mktemp("station"), camera, engine)
    with running_bench(station, camera, engine) as bench:
        yield bench
        assert bench.station.pipeline.account.snapshot().captured == 0


def sent(bench: Bench, **parameters: object) -> tuple[FrameHeader, np.ndarray]:
    asked = {"engine": "goldstein", **parameters}
    answer = bench.client.post("/api/v1/phase", content=HOLOGRAM, params=asked)
    assert answer.status_code == 200, answer.text
    return FrameHeader.model_validate_json(answer.headers["QPI-Frame"]), np.load(BytesIO(answer.content))


@pytest.mark.parametrize(
    ("name", "nearest"), [("nonsense", ""), ("side_band", "sideband"), ("bitdepth", "bit_depth"), ("Format", "format")]
)
def test_parameter_that_is_not_known_is_refused_with_the_nearest(tunable: Bench, name: str, nearest: str) -> None:
    answer = tunable.client.post("/api/v1/phase", content=HOLOGRAM, params={name: "lower"})
    assert answer.status_code == 422
    assert repr(name) in answer.json()["detail"]
    assert f"the nearest is '{nearest}" in answer.json()["detail"]


def test_sideband_of_a_sent_interferogram_flips_its_phase_and_stands_in_the_header(tunable: Bench) -> None:
    (upper, phase_rad), (lower, flipped_rad) = (sent(tunable, sideband=name) for name in ("upper", "lower"))
    assert upper.engine.detail["sideband"] == "upper"
    assert lower.engine.detail["sideband"] == "lower"
    assert np.abs(phase_rad + flipped_rad)[16:-16, 16:-16].max() < 0.3
    assert (upper.carrier_strength or 0) > 20
    assert upper.fringes == "clear"


def test_carrier_and_order_of_a_sent_interferogram_are_used_and_stand_in_the_header(tunable: Bench) -> None:
    header, phase_rad = sent(tunable, carrier="0.21,0.26", background_order=1)
    assert header.engine.detail["carrier_fy_cycles_per_px"] == 0.21
    assert "order 1" in str(header.engine.detail["background"])
    assert np.ptp(phase_rad[16:-16, 16:-16]) == pytest.approx(4.0, abs=0.8)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"sideband": "left"}, "sideband"),
        ({"carrier": "0.9,0.1"}, "expected a carrier between"),
        ({"background_order": 9}, "background_order"),
        ({"calibration": "current"}, "expected a calibration frame of the live stream"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_a_sentence(
    tunable: Bench, parameters: dict[str, object], expected: str
) -> None:
    answer = tunable.client.post("/api/v1/phase", content=HOLOGRAM, params={"engine": "goldstein", **parameters})
    assert answer.status_code == 422
    assert expected in answer.json()["detail"]


def npy(values: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, values)
    return file.getvalue()


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_nan_in_a_sent_interferogram_is_masked_and_comes_back_as_nan(tunable: Bench, nothing: float) -> None:
    holed = interferogram(CELL_RAD).astype(np.float32)
    holed[5:25, 120:150] = nothing
    asked = {"engine": "goldstein", "masked": "nan"}
    answer = tunable.client.post("/api/v1/phase", content=npy(holed), params=asked)
    assert answer.status_code == 200, answer.text
    phase_rad = np.load(BytesIO(answer.content))
    assert np.isnan(phase_rad[5:25, 120:150]).all()
    assert np.isnan(phase_rad).mean() < 0.1
    assert np.nanmedian(np.abs(phase_rad - CELL_RAD)) < 0.1


def test_sent_interferogram_of_nan_alone_is_refused_in_one_sentence(tunable: Bench) -> None:
    answer = tunable.client.post("/api/v1/phase", content=npy(np.full(SHAPE, np.nan)))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("expected grey values, got NaN or infinity in every pixel")


def form(bench: Bench, files: dict[str, bytes], **parameters: object) -> Any:
    asked = {"engine": "goldstein", "masked": "nan", **parameters}
    named = {name: (f"{name}.npy", data) for name, data in files.items()}
    return bench.client.post("/api/v1/phase", files=named, params=asked)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_mask_that_is_sent_as_a_file_is_left_out(tunable: Bench, dtype: type[np.generic]) -> None:
    mask = np.zeros(SHAPE, dtype)
    mask[5:25, 120:150] = 1
    answer = form(tunable, {"frame": HOLOGRAM, "mask": npy(mask)})
    assert answer.status_code == 200, answer.text
    phase_rad = np.load(BytesIO(answer.content))
    assert np.isnan(phase_rad[5:25, 120:150]).all()
    assert np.nanmedian(np.abs(phase_rad - CELL_RAD)) < 0.1


def test_calibration_that_is_sent_as_a_file_is_divided_out(tunable: Bench) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wave = 2.0 * np.sin(2 * np.pi * x / 80) * np.cos(2 * np.pi * y / 64)  # no polynomial of order 1 takes it off
    files = {"frame": npy(interferogram(CELL_RAD + wave)), "calibration": npy(interferogram(wave, seed=1))}
    answer = form(tunable, files)
    assert answer.status_code == 200, answer.text
    header = FrameHeader.model_validate_json(answer.headers["QPI-Frame"])
    assert header.engine.detail["background"] == "calibration frame"
    assert np.nanmedian(np.abs(np.load(BytesIO(answer.content)) - CELL_RAD)[12:-12, 12:-12]) < 0.15


BLANK = npy(np.zeros(SHAPE, np.uint8))


@pytest.mark.parametrize(
    ("files", "parameters", "expected"),
    [
        ({"frame": HOLOGRAM, "masks": BLANK}, {}, "expected parts among frame, mask, calibration, got 'masks'"),
        ({"mask": BLANK}, {}, "expected a part 'frame'"),
        ({"frame": HOLOGRAM, "mask": b"nonsense"}, {}, "mask: expected a .npy"),
        (
            {"frame": HOLOGRAM, "mask": npy(np.zeros((64, 64), np.uint8))},
            {},
            "mask: expected the interferogram's shape",
        ),
        ({"frame": HOLOGRAM, "mask": npy(np.ones(SHAPE, np.uint8))}, {}, "mask: expected zeros"),
        ({"frame": HOLOGRAM, "calibration": npy(np.zeros((64, 64), np.uint8))}, {}, "calibration frame's shape"),
        ({"frame": HOLOGRAM, "calibration": HOLOGRAM}, {"calibration": "current"}, "expected"),
        ({"frame": b""}, {}, "expected a file in the part 'frame'"),
    ],
)
def test_form_that_cannot_be_used_is_refused_with_a_sentence(
    tunable: Bench, files: dict[str, bytes], parameters: dict[str, object], expected: str
) -> None:
    answer = form(tunable, files, **parameters)
    assert answer.status_code == 422, answer.text
    assert expected in answer.json()["detail"]
