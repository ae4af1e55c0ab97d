"""What is known of a compiled engine, in a file beside it. An engine is code: none is loaded that does not match it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qpi_live.camera.device import DeviceIdentity
from qpi_live.models.artifacts.agreement import Agreement
from qpi_live.models.artifacts.checksum import sha256
from qpi_live.models.artifacts.compiler import Capability
from qpi_live.models.artifacts.identity import NetworkIdentity
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.errors import EngineUnavailable

FORMAT = "qpi engine 1"


@dataclass(frozen=True, slots=True)
class EngineManifest:
    """The passport of a compiled engine.

    Attributes:
        engine_sha256: of the engine's file.
        model: name of the network's file.
        model_sha256: of the network's file.
        library: the package that built it; its `version` must be the same where the engine runs.
        version: see `library`.
        capabilities: compute capabilities that it was built for.
        gpu: name of the GPU that it was built on and for; None: any of `capabilities`.
        precision: `fp32`, `fp16` or `int8`.
        sizes: the frames it takes.
        built_at: UTC, ISO 8601.
        build_s: how long the build took, in s.
        network: the network's own metadata, by which the engine knows its instrument.
        graph_accuracy: the compiled graph in its precision on ONNX Runtime, against the network's file there.
        accuracy: the engine on the GPU, against the network's file on ONNX Runtime; None where it was not measured.
        accuracy_note: why it was not.
    """

    engine_sha256: str
    model: str
    model_sha256: str
    library: str
    version: str
    capabilities: tuple[Capability, ...]
    gpu: str | None
    precision: str
    sizes: Sizes
    built_at: str
    build_s: float
    network: Mapping[str, str]
    graph_accuracy: Agreement
    accuracy: Agreement | None
    accuracy_note: str | None

    def identity(self) -> NetworkIdentity:
        """The passport of the network inside.

        Raises:
            EngineUnavailable: its metadata are damaged.
        """
        return NetworkIdentity.from_metadata(self.network)

    def save(self, engine: Path) -> None:
        """Write the manifest of the file `engine` beside it."""
        document: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for key in ("graph_accuracy", "accuracy"):
            agreement: Agreement | None = getattr(self, key)
            document[key] = None if agreement is None else {**document[key], "loss_db": agreement.loss_db}
        manifest_path(engine).write_text(json.dumps(document, indent=2) + "\n")

    @classmethod
    def load(cls, engine: Path) -> EngineManifest:
        """The manifest of the file `engine`.

        Raises:
            EngineUnavailable: there is none beside it, or one that cannot be read.
        """
        path = manifest_path(engine)
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError as missing:
            raise EngineUnavailable(
                f"expected the manifest {path.name} beside {engine.name}, got none: an engine is code, and without its "
                f"manifest nobody knows whose; {_rebuild('MODEL.onnx', engine)}"
            ) from missing
        except (OSError, ValueError) as error:
            raise _damaged(path, engine, error) from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise _damaged(path, engine, f"not a manifest of the format {FORMAT!r}")
        try:
            return cls(**{field.name: _read(field.name, document[field.name]) for field in fields(cls)})
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path, engine, error) from error

    def rebuild(self, engine: Path) -> str:
        """The command that builds it again, here and now."""
        return f"{_rebuild(self.model, engine)} --precision {self.precision} --size {self.sizes.option}"

    def why_altered(self, engine: Path, content: bytes) -> str | None:
        """Why `content` is not what was built; None if it is."""
        got = sha256(content)
        if got == self.engine_sha256:
            return None
        return (
            f"expected {engine.name} as it was built (SHA-256 {self.engine_sha256[:12]}…), got a file that was cut "
            f"short or altered ({got[:12]}…, {len(content)} bytes); {self.rebuild(engine)}"
        )

    def why_other_library(self, engine: Path, version: str) -> str | None:
        """Why the `version` of its library that is here does not run it; None if it does."""
        if version == self.version:
            return None
        return (
            f"expected {self.library} {self.version}, with which {engine.name} was made, got {self.library} {version}; "
            f"{self.rebuild(engine)}"
        )

    def why_other_gpu(self, engine: Path, device: DeviceIdentity) -> str | None:
        """Why `device` does not run it; None if it does."""
        if device.compute_capability in self.capabilities and self.gpu in (None, device.name):
            return None
        made_for = ", ".join(f"{major}.{minor}" for major, minor in self.capabilities)
        major, minor = device.compute_capability
        return (
            f"expected {self.gpu or 'a GPU'} of compute capability {made_for}, for which {engine.name} was made, got "
            f"{device.name} of {major}.{minor}; {self.rebuild(engine)}"
        )


def manifest_path(engine: Path) -> Path:
    """Where the manifest of the file `engine` lies."""
    return engine.with_name(f"{engine.name}.json")


def _rebuild(model: str, engine: Path) -> str:
    return f"build it here: qpi compile {model} -o {engine}"


def _damaged(path: Path, engine: Path, reason: object) -> EngineUnavailable:
    return EngineUnavailable(f"expected a manifest at {path}, got: {reason}; {_rebuild('MODEL.onnx', engine)}")


def _read(name: str, value: Any) -> Any:
    if name == "sizes":
        return Sizes(*((int(value[key][0]), int(value[key][1])) for key in ("smallest", "best", "largest")))
    if name == "capabilities":
        return tuple((int(major), int(minor)) for major, minor in value)
    if name in ("graph_accuracy", "accuracy") and value is not None:
        return Agreement(**{field.name: value[field.name] for field in fields(Agreement)})
    return value
