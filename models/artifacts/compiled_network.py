"""The card of a compiled network, in a file beside it. Such a network is code: none is loaded that does not match."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import field_validator
from qpi_live.camera.device import DeviceIdentity
from qpi_live.models.artifacts.agreement import Agreement
from qpi_live.models.artifacts.card import Card, CardError, without_prefix
from qpi_live.models.artifacts.checksum import sha256
from qpi_live.models.artifacts.compiler import Capability
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.errors import EngineUnavailable


class CompiledCard(Card):
    """The card of a compiled network.

    Attributes:
        sha256: of the compiled network's file.
        model: name of the network's file.
        model_sha256: of the network's file.
        library: the package that built it; its `version` must be the same where the compiled network runs.
        version: see `library`.
        capabilities: compute capabilities that it was built for.
        gpu: name of the GPU that it was built on and for; None: any of `capabilities`.
        precision: `fp32`, `fp16` or `int8`.
        sizes: the frames it takes.
        built_at: UTC, ISO 8601.
        build_s: how long the build took, in s.
        network: the network's own card, which has the instrument.
        graph_accuracy: the compiled graph in its precision on ONNX Runtime, against the network's file there.
        accuracy: the compiled network on the GPU, against the network's file on ONNX Runtime; None: not measured.
        accuracy_note: why it was not.
    """

    FORMAT: ClassVar[str] = "qpi compiled network 2"
    EARLIER: ClassVar[tuple[str, ...]] = ("qpi engine 1",)
    WHAT: ClassVar[str] = "a compiled network of `qpi compile`"
    REMEDY: ClassVar[str] = "build it again"

    sha256: str
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
    network: NetworkCard
    graph_accuracy: Agreement
    accuracy: Agreement | None
    accuracy_note: str | None

    @field_validator("network", mode="before")
    @classmethod
    def _of_its_own_format(cls, value: object) -> NetworkCard:
        return value if isinstance(value, NetworkCard) else NetworkCard.of(value)

    def document(self) -> dict[str, Any]:
        """See `Card.document`; the network's card keeps its own format."""
        return super().document() | {"network": self.network.document()}

    def save(self, compiled: Path) -> None:
        """Write the card of the file `compiled` beside it."""
        card_path(compiled).write_text(self.text(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, compiled: Path) -> Self:
        """The card of the file `compiled`.

        Raises:
            EngineUnavailable: there is none beside it, or one that cannot be read.
        """
        path = card_path(compiled)
        try:
            return cls.parse(path.read_text())
        except FileNotFoundError as missing:
            raise EngineUnavailable(
                f"expected the card {path.name} beside {compiled.name}, got none: a compiled network is code, and "
                f"without its card nobody knows whose; {_rebuild('MODEL.onnx', compiled)}"
            ) from missing
        except (OSError, CardError) as error:
            raise EngineUnavailable(f"cannot read {path}: {error}: {_rebuild('MODEL.onnx', compiled)}") from error

    @classmethod
    def _upgraded(cls, document: dict[str, Any]) -> dict[str, Any]:
        """The first format named the file an engine, and held the network's string pairs."""
        return document | {
            "sha256": document["engine_sha256"],
            "network": NetworkCard.of(without_prefix(document["network"])),
        }

    def rebuild(self, compiled: Path) -> str:
        """The command that builds it again, here and now."""
        return f"{_rebuild(self.model, compiled)} --precision {self.precision} --size {self.sizes.option}"

    def why_altered(self, compiled: Path, content: bytes) -> str | None:
        """Why `content` is not what was built; None if it is."""
        got = sha256(content)
        if got == self.sha256:
            return None
        return (
            f"expected {compiled.name} as it was built (SHA-256 {self.sha256[:12]}…), got a file that was cut "
            f"short or altered ({got[:12]}…, {len(content)} bytes); {self.rebuild(compiled)}"
        )

    def why_other_library(self, compiled: Path, version: str) -> str | None:
        """Why the `version` of its library that is here does not run it; None if it does."""
        if version == self.version:
            return None
        return (
            f"expected {self.library} {self.version}, with which {compiled.name} was made, got {self.library} "
            f"{version}; {self.rebuild(compiled)}"
        )

    def why_other_gpu(self, compiled: Path, device: DeviceIdentity) -> str | None:
        """Why `device` does not run it; None if it does."""
        if device.compute_capability in self.capabilities and self.gpu in (None, device.name):
            return None
        made_for = ", ".join(f"{major}.{minor}" for major, minor in self.capabilities)
        major, minor = device.compute_capability
        return (
            f"expected {self.gpu or 'a GPU'} of compute capability {made_for}, for which {compiled.name} was made, got "
            f"{device.name} of {major}.{minor}; {self.rebuild(compiled)}"
        )


def card_path(compiled: Path) -> Path:
    """Where the card of the file `compiled` lies."""
    return compiled.with_name(f"{compiled.name}.json")


def _rebuild(model: str, compiled: Path) -> str:
    return f"build it here: qpi compile {model} -o {compiled}"
