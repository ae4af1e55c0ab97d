"""Cards: one document without JSON as text in it, and every format that was ever written still opens."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.instrument import Fringes, Instrument
from qpi_live.models.artifacts.agreement import Agreement
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.artifacts.card import Card, CardError
from qpi_live.models.artifacts.compiled_network import CompiledCard, card_path
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.onnx import SHIPPED, SHIPPED_INT8, OnnxEngine
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.nets.connections import load_connections
from qpi_live.models.training.cultures import CulturesCard
from qpi_live.models.training.pairs import DataError, Origin, PairsCard, PairSet, PairWriter

INSTRUMENT = Instrument((64, 96), Optics(532e-9, 3.45e-6, 40), Fringes((0.2, -0.1)), name="a {bench}")
NETWORK = NetworkCard(
    net="nasprnet",
    precision="fp32",
    connections=("E1_D1", "E2_D1"),
    stride=32,
    shape=(64, 96),
    bit_depth=8,
    phase_range_rad=12.0,
    psnr_db=40.25,
    samples=1000,
    trained_s=60.0,
    instrument=INSTRUMENT,
    commit="0123456789abcdef",
)
COMPILED = CompiledCard(
    sha256="ab" * 32,
    model="nasprnet.onnx",
    model_sha256="cd" * 32,
    library="tensorrt_rtx",
    version="1.7",
    capabilities=((8, 6), (12, 0)),
    gpu=None,
    precision="fp16",
    sizes=Sizes.parse("512-1024-2048"),
    built_at="2026-11-27T00:00:00+00:00",
    build_s=3.5,
    network=NETWORK,
    graph_accuracy=Agreement(5, 3, 0.01, 0.001, 40.0, 40.1),
    accuracy=None,
    accuracy_note="no GPU",
)
PAIRS = PairsCard(
    count=2,
    shape=(64, 96),
    bit_depth=8,
    splits={"train": (0,), "test": (1,)},
    conditions=("nominal", "harsh"),
    origin=Origin(kind="simulated", seed=3, mix={"nominal": 1.0}, instrument=INSTRUMENT),
)
CULTURES = CulturesCard(seed=1, pitch_px=6, train=4, validation=2)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("card", [NETWORK, COMPILED, PAIRS, CULTURES], ids=lambda card: type(card).__name__)
def test_card_comes_back_and_holds_no_json_as_text(card: Card) -> None:
    assert type(card).parse(card.text()) == card
    for text in _texts(json.loads(card.text())):
        assert not text.startswith(("{", "["))


def test_network_card_travels_in_one_pair_of_an_onnx_file() -> None:
    metadata = NETWORK.metadata()
    assert list(metadata) == ["qpi.card"]
    assert NetworkCard.in_metadata({"torch": "2", **metadata}) == NETWORK


def test_network_card_of_the_first_format_still_opens() -> None:
    first = {
        "qpi.format": "qpi onnx 1",
        "qpi.net": "nasprnet",
        "qpi.precision": "fp32",
        "qpi.connections": '["E1_D1", "E2_D1"]',
        "qpi.stride": "32",
        "qpi.shape": "[64, 96]",
        "qpi.bit_depth": "8",
        "qpi.phase_range_rad": "12.0",
        "qpi.psnr_db": "40.25",
        "qpi.samples": "1000",
        "qpi.trained_s": "60",
        "qpi.instrument": INSTRUMENT.to_json(),
        "qpi.commit": "0123456789abcdef",
    }
    assert NetworkCard.in_metadata(first) == NETWORK
    anywhere = NetworkCard.in_metadata(first | {"qpi.shape": "null", "qpi.instrument": ""})
    assert (anywhere.shape, anywhere.instrument) == (None, None)


@pytest.mark.parametrize("path", [SHIPPED, SHIPPED_INT8], ids=lambda path: path.name)
def test_networks_that_ship_say_who_they_are(path: Path) -> None:
    card = OnnxEngine(EngineOptions(), path).network
    assert card.net == "nasprnet"
    assert card.instrument is not None
    assert card.instrument.name == "glioblastoma"
    committed = load_connections(SHIPPED.with_name("nasprnet-connections.json"))
    assert card.connections == tuple(connection.name for connection in committed)


def test_background_that_ships_says_who_it_is() -> None:
    card = BackgroundNetwork().card
    assert card.cultures > 100
    assert card.median_db > 30


def test_compiled_network_of_the_first_format_still_opens(tmp_path: Path) -> None:
    network = {f"qpi.{key}": value for key, value in NETWORK.document().items()}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in network.items()} | {
        "qpi.format": "qpi onnx 1"
    }
    first = COMPILED.document() | {"format": "qpi engine 1", "engine_sha256": COMPILED.sha256, "network": texts}
    del first["sha256"]
    compiled = tmp_path / "nasprnet.trt"
    card_path(compiled).write_text(json.dumps(first))
    assert CompiledCard.load(compiled) == COMPILED


def test_pairs_of_the_first_format_still_open(tmp_path: Path) -> None:
    with PairWriter(tmp_path, {"train": 1}, (64, 96), 8, {"kind": "simulated", "instrument": INSTRUMENT}) as writer:
        writer.add(np.zeros((64, 96), np.uint8), np.zeros((64, 96), np.float32), "nominal")
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["origin"]["instrument"]["name"] == "a {bench}"
    first = written | {"format": "qpi pairs 1", "origin": {"seed": 3, "instrument": INSTRUMENT.to_json()}}
    (tmp_path / "manifest.json").write_text(json.dumps(first))
    assert PairSet(tmp_path, "train").card.origin == Origin(seed=3, instrument=INSTRUMENT)


def test_pairs_keep_whatever_else_their_maker_said() -> None:
    origin = Origin.model_validate({"kind": "labelled", "recording": "replay:run.tif"})
    card = PAIRS.model_copy(update={"origin": origin})
    assert PairsCard.parse(card.text()).document()["origin"]["recording"] == "replay:run.tif"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "card is damaged"),
        ("[]", "says nothing of itself"),
        ("{}", "says nothing of itself"),
        ('{"format": "qpi pairs 9"}', "says 'qpi pairs 9'"),
        ('{"format": "qpi pairs 2"}', "card is damaged: count"),
    ],
)
def test_card_that_is_none_says_what_it_found_and_what_to_do(text: str, complaint: str) -> None:
    with pytest.raises(CardError, match=complaint) as refused:
        PairsCard.parse(text)
    assert str(refused.value).startswith("expected a folder of pairs")
    assert str(refused.value).endswith("`qpi pairs` makes one")


@pytest.mark.parametrize(
    "metadata", [{}, {"qpi.format": "qpi onnx 7"}, {"qpi.card": "{"}, {"qpi.format": "qpi onnx 1"}]
)
def test_network_without_a_card_is_no_engine(metadata: dict[str, str]) -> None:
    with pytest.raises(EngineUnavailable, match=r"expected a network exported by `qpi export`.*export its checkpoint"):
        NetworkCard.in_metadata(metadata)


def test_pairs_with_an_impossible_instrument_name_the_place(tmp_path: Path) -> None:
    document = PAIRS.document()
    document["origin"]["instrument"]["fringes"]["contrast"] = 7
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"origin\.instrument\.fringes.*fringe contrast"):
        PairSet(tmp_path, "train")


def test_checkpoint_of_the_second_format_still_opens(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from qpi_live.models.export.onnx_file import describe
    from qpi_live.models.training.checkpoint import Checkpoint, NetSpec

    model = NetSpec("narrow-unet").build().state_dict()
    data = {"shape": [64, 96], "bit_depth": 12, "origin": {"kind": "simulated", "instrument": INSTRUMENT.to_json()}}
    second = {
        "format": "qpi checkpoint 2",
        "net": "narrow-unet",
        "connections": [],
        "model": model,
        "optimizer": {},
        "epoch": 7,
        "samples": 70,
        "elapsed_s": 1.5,
        "psnr_db": 30.0,
        "best_psnr_db": 31.0,
        "record": {"batch_norm_frozen": True, "step": "train", "loss": "mixge", "data": json.dumps(data)},
    }
    torch.save(second, tmp_path / "old.pt")
    old = Checkpoint.load(tmp_path / "old.pt")
    assert (old.epoch, old.best_psnr_db, old.record.batch_norm_frozen) == (7, 31.0, True)
    card = describe(old, "fp32", None)
    assert (card.instrument, card.bit_depth) == (replace(INSTRUMENT), 12)
    old.save(tmp_path / "new.pt")
    new = Checkpoint.load(tmp_path / "new.pt")
    assert new.record.model_dump_json() == old.record.model_dump_json()
    assert torch.load(tmp_path / "new.pt", weights_only=True)["card"]["record"]["data"]["origin"]["kind"] == "simulated"
