"""What a request for the phase of a sent interferogram asks for is done, said in the header, or refused by name."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from qpi_live.service.wire import FrameHeader

from tests.fakes import FakeCamera, TunableFakeEngine
from tests.models.fringes import bump, interferogram
from tests.service.conftest import Bench

SHAPE = (128, 160)
BUFFER = BytesIO()
np.save(BUFFER, interferogram(bump(SHAPE, 4.0)))
HOLOGRAM = BUFFER.getvalue()


@pytest.fixture
def tunable(make_bench: Callable[..., Bench]) -> Bench:
    """A station whose engine can be tuned, with the real engine's name for frames that are sent."""
    return make_bench(TunableFakeEngine("goldstein"), FakeCamera(SHAPE))


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
