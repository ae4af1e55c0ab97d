"""The instrument file: what goes in comes out, and nonsense gets a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qpi_live.camera.simulation.conditions import CONDITIONS, example_of
from qpi_live.camera.simulation.instrument import Aberration, Beam, Fringes, Instrument, Sensor, Speckle

_frequency = st.floats(-0.5, 0.5)
_coefficients = st.lists(st.floats(-50, 50), max_size=15).map(tuple)


@given(
    instrument=st.builds(
        Instrument,
        shape=st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
        fringes=st.builds(Fringes, st.tuples(_frequency, _frequency), st.floats(0, 1)),
        beam=st.builds(Beam, st.floats(0, 1), st.tuples(st.floats(0, 1), st.floats(0, 1)), st.floats(0.1, 10)),
        aberration=st.builds(Aberration, _coefficients, _coefficients),
        sensor=st.builds(Sensor, st.integers(8, 16), st.floats(1000, 1e6), st.floats(0, 100), st.floats(0, 10)),
        speckle=st.none() | st.builds(Speckle, st.floats(0, 1), st.floats(0, 1), st.integers(0, 99)),
        name=st.text(max_size=20),
    )
)
def test_instrument_file_gives_back_the_instrument(instrument: Instrument) -> None:
    assert Instrument.from_json(instrument.to_json()) == instrument


@pytest.mark.parametrize("condition", CONDITIONS)
def test_instrument_file_of_an_example_gives_it_back(condition: str, tmp_path: Path) -> None:
    instrument = example_of(condition)[0]
    path = tmp_path / "instrument.json"
    path.write_text(instrument.to_json())
    assert Instrument.from_file(path) == instrument
    assert replace(instrument, shape=(64, 64)).fringes == instrument.fringes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Invalid JSON"),
        ("[1, 2]", "the file is wrong"),
        ('{"lens": 1}', "lens is wrong"),
        ('{"fringes": {"carrier_cycles_per_px": [0.7, 0.1]}}', "carrier in cycles per pixel in -0.5 … 0.5, got 0.7"),
        ('{"fringes": {"contrast": 2}}', "fringe contrast"),
        ('{"sensor": {"bit_depth": 7}}', "expected a bit depth in 8 … 16, got 7"),
        ('{"optics": {"wavelength_m": 532}}', "532 nm is written 532e-9"),
        ('{"beam": {"level": NaN}}', "wrong"),
        ('{"shape": [4, 1000000]}', "frame's edge"),
        ('{"speckle": {"strength": "strong"}}', "speckle.strength is wrong"),
    ],
)
def test_instrument_file_of_nonsense_says_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"expected an instrument file") as error:
        Instrument.from_json(text)
    assert sentence in str(error.value)


def test_instrument_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a readable instrument file"):
        Instrument.from_file(tmp_path / "none.json")
