"""The networks there are: those that ship and those in a user's folder, with their cards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.background_network import SHIPPED as SHIPPED_BACKGROUND
from qpi_live.models.artifacts.background_network import BackgroundCard
from qpi_live.models.artifacts.checksum import intact, note_checksum, sha256
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.promotions import Kind, Promotions, network_file
from qpi_live.models.engine import EngineOptions
from qpi_live.models.engines.onnx import OnnxEngine
from qpi_live.models.errors import EngineUnavailable

_LONGEST_NAME = 64
_NAME = re.compile(rf"[^\W_][\w.-]{{0,{_LONGEST_NAME - 1}}}")
_CARDS: dict[Kind, type[NetworkCard] | type[BackgroundCard]] = {
    Kind.NETWORK: NetworkCard,
    Kind.BACKGROUND: BackgroundCard,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A network that can be promoted.

    Attributes:
        name: to call it by.
        kind: what it is for.
        path: its file.
        sha256: of that file.
        card: what it says of itself.
    """

    name: str
    kind: Kind
    path: Path
    sha256: str
    card: NetworkCard | BackgroundCard

    @property
    def instrument(self) -> str:
        """What it was trained for, in words."""
        if isinstance(self.card, BackgroundCard):
            return "every instrument"
        return (self.card.instrument.name if self.card.instrument else "") or "not said"

    @property
    def card_db(self) -> float:
        """The PSNR that its card states, in dB: on validation frames; of a background, the error of the background."""
        return self.card.median_db if isinstance(self.card, BackgroundCard) else self.card.psnr_db


class Registry:
    """The networks that ship, and those in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.promotions = Promotions(folder)

    def shipped(self, kind: Kind) -> Entry:
        """The network that ships, as an engine takes it on this machine."""
        path = OnnxEngine(EngineOptions(threads=1)).path if kind is Kind.NETWORK else SHIPPED_BACKGROUND
        return read(path, kind.shipped_name)

    def all(self) -> tuple[list[Entry], dict[str, str]]:
        """The networks, the shipped ones first; and why files in the folder are none, by name."""
        entries, refusals = [self.shipped(kind) for kind in Kind], {}
        for path in sorted(self.folder.glob("*.onnx")):
            try:
                entries.append(read(path, path.stem))
            except EngineUnavailable as error:
                refusals[path.stem] = str(error)
        return entries, refusals

    def named(self, name: str) -> Entry:
        """The network called `name`.

        Raises:
            ValueError: there is none.
            EngineUnavailable: its file is damaged.
        """
        for kind in Kind:
            if name == kind.shipped_name:
                return self.shipped(kind)
        path = network_file(self.folder, name)
        if not _NAME.fullmatch(name) or not path.is_file():
            own = [found.stem for found in sorted(self.folder.glob("*.onnx"))]
            known = ", ".join([*(kind.shipped_name for kind in Kind), *own])
            raise ValueError(f"expected a network among {known}, got {name!r}; `qpi models add FILE` adds one")
        return read(path, name)

    def in_force(self, kind: Kind) -> Entry:
        """The network that is in force.

        Raises:
            EngineUnavailable: its file is missing or altered.
        """
        path = self.promotions.file(kind)
        return self.shipped(kind) if path is None else read(path, path.stem)

    def free_name(self, name: str, path: Path) -> str:
        """`name`, or `name-2` and so on where networks of other bytes than the file `path` have the names before."""
        content, number, tried = sha256(path.read_bytes()), 1, name
        while (kept := network_file(self.folder, tried)).exists() and sha256(kept.read_bytes()) != content:
            number += 1
            tried = f"{name}-{number}"
        return tried

    def roll_back(self, kind: Kind) -> Entry:
        """Undo the newest promotion of a kind; the network that is in force again.

        Raises:
            PromotionError: nothing was promoted.
            EngineUnavailable: the network before is missing or altered; nothing has changed then.
        """
        before = self.promotions.file(kind, back=1)
        self.promotions.roll_back(kind)
        return self.shipped(kind) if before is None else read(before, before.stem)

    def add(self, path: Path, name: str = "") -> Entry:
        """Copy a network into the folder, under its file's name unless another is given.

        Raises:
            ValueError: no such name is possible, or another network has it.
            EngineUnavailable: the file is no network of `qpi export`, or damaged.
            OSError: it cannot be read, or the folder cannot be written to.
        """
        name = name or path.stem
        check_name(name)
        added = read(path, name)
        kept = network_file(self.folder, name)
        if kept.exists():
            if sha256(kept.read_bytes()) != added.sha256:
                raise ValueError(f"expected a new name, got {name}, which another network has; give --name")
            return read(kept, name)
        self.folder.mkdir(parents=True, exist_ok=True)
        content = intact(path)
        with whole_file(kept) as written:
            written.write_bytes(content)
        note_checksum(kept)
        return read(kept, name)


def check_name(name: str) -> None:
    """Raise ValueError where a network in a user's folder cannot have this name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"expected a name of at most {_LONGEST_NAME} letters, digits, '.', '_' and '-', got {name!r}; give --name"
        )
    if name in (kind.shipped_name for kind in Kind):
        raise ValueError(f"expected a name of its own, got {name}, which is the shipped network's; give --name")


def read(path: Path, name: str) -> Entry:
    """The network in the file `path`.

    Raises:
        EngineUnavailable: it is no network of `qpi export`, or was altered since.
        OSError: it cannot be read.
    """
    content = intact(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # only its words are read
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
        raise EngineUnavailable(f"expected an ONNX network at {path}, got: {error}") from error
    metadata = session.get_modelmeta().custom_metadata_map
    refusal: EngineUnavailable | None = None
    for kind, card in _CARDS.items():
        try:
            return Entry(name, kind, path, sha256(content), card.in_metadata(metadata))
        except EngineUnavailable as error:
            refusal = refusal or error
    raise EngineUnavailable(f"{path.name}: {refusal}")
