"""A Triton model repository from an exported network, for sites that outgrow one PC.

Source: NVIDIA Triton Inference Server, "Model Repository" and `model_config.proto`. The network goes there as it is. It
takes one frame of grey values and gives the phase in rad, so no code of this project runs on the server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.card import without_prefix
from qpi_live.models.artifacts.checksum import intact
from qpi_live.models.artifacts.session import open_session
from qpi_live.models.errors import EngineUnavailable

CONFIG = "config.pbtxt"
NETWORK = "model.onnx"
_TYPES = {
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
}
_PARTICULARS = "parameters "
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def write_triton(network: Path, repository: Path, name: str = "") -> Path:
    """Add a network to a model repository: `NAME/config.pbtxt`, and the next version, `NAME/1/model.onnx`.

    Args:
        network: an ONNX file of `qpi export`.
        repository: folder of models; made where it is not there.
        name: of the model there; the file's without one.

    Returns:
        The new version's folder.

    Raises:
        EngineUnavailable: no such network, or one that was altered since it was exported.
        ValueError: the name cannot be one there, or stands for a model with other inputs and outputs.
        OSError: the folder cannot be written to.
    """
    name = name or network.name.removesuffix(".onnx")
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected a model's name of letters, digits, '_', '.' and '-', got {name!r}; give --name")
    content = _content(network)
    config = config_of(content, name)
    model = repository / name
    before = model / CONFIG
    if before.is_file() and _demands(before.read_text(encoding="utf-8")) != _demands(config):
        raise ValueError(
            f"expected {before} to describe this network, got one with other inputs or outputs, or changed by hand; "
            "give another --name"
        )
    model.mkdir(parents=True, exist_ok=True)
    version = model / str(_next_version(model))
    # A server that watches the folder must never see a version without its network.
    with TemporaryDirectory(prefix=".", dir=model) as partial:
        made = Path(partial) / version.name
        made.mkdir()
        (made / NETWORK).write_bytes(content)
        made.rename(version)
    with whole_file(before) as path:
        path.write_text(config, encoding="utf-8")
    return version


def config_of(network: bytes, name: str) -> str:
    """The text of `config.pbtxt` for the ONNX network in `network`; see `write_triton`."""
    try:
        session = open_session(network)
    except Exception as error:  # ONNX Runtime has exceptions of its own
        raise EngineUnavailable(f"expected a network of `qpi export` (ONNX), got: {error}") from error
    parts = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        "max_batch_size: 0",  # the network has no axis for batches: frames come one by one
        *_tensors("input", session.get_inputs()),
        *_tensors("output", session.get_outputs()),
        "instance_group [ { count: 1, kind: KIND_AUTO } ]",
        "version_policy { latest { num_versions: 1 } }",
    ]
    said = without_prefix(session.get_modelmeta().custom_metadata_map)
    parts += [
        f'{_PARTICULARS}{{ key: "qpi.{key}" value {{ string_value: {_quoted(str(value))} }} }}'
        for key, value in sorted(said.items())
    ]
    return "\n".join(parts) + "\n"


def _content(network: Path) -> bytes:
    try:
        return intact(network)
    except OSError as error:
        raise EngineUnavailable(f"expected a network at {network}, got: {error.strerror or error}") from error


def _tensors(what: str, tensors: Sequence[onnxruntime.NodeArg]) -> list[str]:
    described = []
    for tensor in tensors:
        if tensor.type not in _TYPES:
            raise EngineUnavailable(f"expected {what}s of {', '.join(_TYPES)}, got {tensor.name} of {tensor.type}")
        # An axis with a name takes any size.
        edges = ", ".join(str(edge) if isinstance(edge, int) else "-1" for edge in tensor.shape)
        described.append(f'{what} [ {{ name: "{tensor.name}", data_type: {_TYPES[tensor.type]}, dims: [ {edges} ] }} ]')
    return described


def _demands(config: str) -> list[str]:
    """What clients rely on; the particulars of the network that was trained last are none of it."""
    return [line for line in config.splitlines() if not line.startswith(_PARTICULARS)]


def _next_version(model: Path) -> int:
    taken = [int(each.name) for each in model.iterdir() if each.is_dir() and each.name.isdecimal()]
    return max(taken, default=0) + 1


def _quoted(text: str) -> str:
    """A string of protobuf's text format; UTF-8 passes as it is."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
