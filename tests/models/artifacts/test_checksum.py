"""A network whose file was altered since it was exported is not loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from qpi_live.models.artifacts.background_network import SHIPPED as BACKGROUND
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.artifacts.checksum import checksum_path, intact, note_checksum
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.models.engines.onnx import SHIPPED, SHIPPED_INT8
from qpi_live.models.errors import EngineUnavailable


def copied(network: Path, folder: Path) -> Path:
    for file in (network, checksum_path(network)):
        shutil.copy(file, folder)
    return folder / network.name


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)


@pytest.mark.parametrize("network", [SHIPPED, SHIPPED_INT8, BACKGROUND], ids=lambda path: path.name)
def test_network_that_ships_has_the_checksum_that_ships_with_it(network: Path, tmp_path: Path) -> None:
    there = copied(network, tmp_path)
    before = checksum_path(there).read_text()
    note_checksum(there)
    assert checksum_path(there).read_text() == before


@pytest.mark.parametrize("name", ["größe.onnx", "顕微鏡.onnx"])
def test_network_of_a_name_of_any_letters_has_a_checksum_and_is_guarded_by_it(tmp_path: Path, name: str) -> None:
    network = tmp_path / name
    shutil.copy(SHIPPED_INT8, network)
    note_checksum(network)
    assert intact(network) == SHIPPED_INT8.read_bytes()
    assert checksum_path(network).read_text(encoding="utf-8").endswith(f"  {name}\n")
    flip(network, 1000)
    with pytest.raises(EngineUnavailable, match="as it was exported"):
        intact(network)


@pytest.mark.parametrize("place", [0, 1000, 2_000_000, -1])
def test_network_with_a_flipped_bit_is_refused(tmp_path: Path, place: int) -> None:
    network = copied(SHIPPED_INT8, tmp_path)
    flip(network, place)
    with pytest.raises(EngineUnavailable, match="as it was exported"):
        open_engine(str(network), EngineOptions(), may_be_file=True)


def test_network_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    network = copied(BACKGROUND, tmp_path)
    network.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(EngineUnavailable, match="cut short or altered"):
        BackgroundNetwork(network)


@pytest.mark.parametrize("text", ["", "\n", "not a checksum\n"])
def test_network_with_a_damaged_checksum_is_refused(tmp_path: Path, text: str) -> None:
    network = copied(BACKGROUND, tmp_path)
    checksum_path(network).write_text(text)
    with pytest.raises(EngineUnavailable, match=r"background\.onnx"):
        BackgroundNetwork(network)


def test_network_without_a_checksum_is_taken_as_it_is(tmp_path: Path) -> None:
    network = copied(BACKGROUND, tmp_path)
    checksum_path(network).unlink()
    assert BackgroundNetwork(network).path == network
