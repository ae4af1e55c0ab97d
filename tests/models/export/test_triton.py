"""Model repositories for Triton, read with its own published schema."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.export.triton import write_triton
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

WEIGHTS = Path(__file__).parents[3] / "models" / "weights"
NETWORK = WEIGHTS / "nasprnet.onnx"


def parsed(config: Path) -> Any:
    """The configuration as Triton itself reads it."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs Triton's schema: pip install 'qpi-live[integrations]'")
    from google.protobuf import text_format

    file = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"  # its package asks for gRPC
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    return text_format.Parse(config.read_text(encoding="utf-8"), schema.ModelConfig())


@pytest.mark.parametrize("name", ["nasprnet", "nasprnet-int8", "background"])
def test_configuration_is_one_of_the_published_schema_and_says_what_the_network_takes(
    tmp_path: Path, name: str
) -> None:
    network = WEIGHTS / f"{name}.onnx"
    write_triton(network, tmp_path)
    config = parsed(tmp_path / name / "config.pbtxt")
    session = onnxruntime.InferenceSession(str(network))
    types = {"TYPE_UINT8": "tensor(uint8)", "TYPE_FP32": "tensor(float)"}
    data_type = type(config).DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"].enum_type
    for stated, real in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [each.name for each in stated] == [each.name for each in real]
        assert [types[data_type.values_by_number[each.data_type].name] for each in stated] == [
            each.type for each in real
        ]
        for one, other in zip(stated, real, strict=True):
            assert list(one.dims) == [edge if isinstance(edge, int) else -1 for edge in other.shape]
    assert config.name == name
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == 0
    assert config.parameters["qpi.format"].string_value.startswith("qpi ")


def test_network_of_the_repository_gives_the_same_phase(tmp_path: Path) -> None:
    version = write_triton(NETWORK, tmp_path / "models", "mine")
    assert version == tmp_path / "models" / "mine" / "1"
    frame = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)
    phases = [
        onnxruntime.InferenceSession(str(path)).run(None, {"interferogram": frame})[0]
        for path in (NETWORK, version / "model.onnx")
    ]
    assert np.array_equal(*phases)


def test_second_network_of_a_name_is_its_next_version(tmp_path: Path) -> None:
    assert write_triton(NETWORK, tmp_path, "mine").name == "1"
    assert write_triton(NETWORK, tmp_path, "mine").name == "2"
    assert sorted(each.name for each in (tmp_path / "mine").iterdir()) == ["1", "2", "config.pbtxt"]


def test_network_with_other_inputs_is_refused_under_the_same_name_and_changes_nothing(tmp_path: Path) -> None:
    write_triton(NETWORK, tmp_path, "mine")
    before = (tmp_path / "mine" / "config.pbtxt").read_bytes()
    with pytest.raises(ValueError, match="another --name"):
        write_triton(WEIGHTS / "background.onnx", tmp_path, "mine")
    assert (tmp_path / "mine" / "config.pbtxt").read_bytes() == before
    assert not (tmp_path / "mine" / "2").exists()


@pytest.mark.parametrize("name", ["../out", "a b", ".hidden", 'x"y'])
def test_name_that_is_no_model_s_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="--name"):
        write_triton(NETWORK, tmp_path / "models", name)
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_network_or_was_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no network")
    with pytest.raises(EngineUnavailable, match="expected a network"):
        write_triton(tmp_path / "no.onnx", tmp_path / "models")
    with pytest.raises(EngineUnavailable, match="expected a network"):
        write_triton(tmp_path / "none.onnx", tmp_path / "models")
    (tmp_path / "cut.onnx").write_bytes(NETWORK.read_bytes()[:-10])
    (tmp_path / "cut.onnx.sha256").write_text((WEIGHTS / "nasprnet.onnx.sha256").read_text())
    with pytest.raises(EngineUnavailable, match="cut short"):
        write_triton(tmp_path / "cut.onnx", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_command_adds_an_onnx_file_and_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["export", str(NETWORK), "--triton", str(tmp_path / "models"), "--name", "mine"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "models" / "mine" / "1" / "model.onnx").is_file()
    assert run(app, ["export", str(NETWORK)]).exit_code == 2
    assert run(app, ["export", str(tmp_path / "best.pt")]).exit_code == 2
