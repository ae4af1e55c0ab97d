"""Which of a user's networks are in force, and how that came to be: one small file in their folder."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.card import Card, CardError
from qpi_live.models.artifacts.checksum import sha256
from qpi_live.models.errors import EngineUnavailable

FOLDER = user_data_path("qpi-live", appauthor=False) / "networks"
"""Where a user's networks lie unless another folder is named."""
_FILE = "promotions.json"


class Kind(StrEnum):
    """What a network is for; of each kind one is in force."""

    NETWORK = "network"
    BACKGROUND = "background"

    @property
    def shipped_name(self) -> str:
        """What the one that ships is called."""
        return "nasprnet" if self is Kind.NETWORK else "learned"


class PromotionError(ValueError):
    """A promotion cannot be done or undone; nothing has changed."""


class Figures(BaseModel):
    """What the gate measured of one network.

    Attributes:
        psnr_db: against the truth of simulated frames, the median of each condition, on the 0–12 rad scale.
        seen_on: `recorded` or `simulated` frames, on which the two differences were measured.
        difference_rad: RMS difference from the classical phase without the level, of the median frame; None where the
            classical chain could make nothing of any frame.
        largest_difference_rad: of the frame where it is largest.
        latency_ms: time for a frame, the shortest of several; on a CPU that of one core.
    """

    model_config = ConfigDict(frozen=True)

    psnr_db: dict[str, float]
    seen_on: Literal["recorded", "simulated"]
    difference_rad: float | None
    largest_difference_rad: float | None
    latency_ms: float


class Promotion(BaseModel):
    """A network that was put in force.

    Attributes:
        name: among the user's networks, or the shipped one's.
        sha256: of its file.
        promoted_at: when.
        over: the name of the network that it took the place of.
        figures: what the gate measured of it.
        forced_against: the gate's refusal, where a user overrode it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    promoted_at: datetime
    over: str
    figures: Figures
    forced_against: str | None = None


class Step(BaseModel):
    """One line of the history: what was `done` (`promoted`, `forced`, `rolled back to`) with the network `name`."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    done: str
    kind: Kind
    name: str
    remark: str = ""


class History(Card):
    """All that was promoted and rolled back, with what is in force now.

    Attributes:
        promoted: of each kind, the promotions that were not rolled back; the last is in force.
        steps: all that was ever done, in order.
    """

    FORMAT: ClassVar[str] = "qpi promotions 1"
    WHAT: ClassVar[str] = "the promotions of `qpi models`"
    REMEDY: ClassVar[str] = "put the file aside and promote again"

    promoted: dict[Kind, tuple[Promotion, ...]] = Field(default_factory=dict)
    steps: tuple[Step, ...] = ()


class Promotions:
    """The promotions in a folder of networks. The file is replaced whole, so that a reader sees the old or the new.

    Args:
        folder: where `NAME.onnx` lie; it need not be there.

    Raises:
        EngineUnavailable: (from all that read) the file is damaged, or a network in force is missing or altered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / _FILE

    @property
    def version(self) -> tuple[int, int] | None:
        """Another one after each change; None before the first."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    @property
    def history(self) -> History:
        """Everything that was done."""
        try:
            return History.parse(self._file.read_bytes())
        except FileNotFoundError:
            return History()
        except (OSError, CardError) as error:
            raise EngineUnavailable(f"cannot use {_FILE} of your networks: {error}") from error

    def in_force(self, kind: Kind) -> Promotion | None:
        """The newest promotion that was not rolled back; None where the shipped network never made way."""
        promoted = self.history.promoted.get(kind, ())
        return promoted[-1] if promoted else None

    def file(self, kind: Kind, back: int = 0) -> Path | None:
        """The file of the network in force, or so many promotions back, as promoted; None for the one that ships."""
        promoted = self.history.promoted.get(kind, ())[: -back or None]
        promotion = promoted[-1] if promoted else None
        if promotion is None or promotion.name == kind.shipped_name:
            return None
        path = network_file(self._folder, promotion.name)
        remedy = "copy it back, or promote another" if back else "copy it back, or run `qpi models rollback`"
        try:
            got = sha256(path.read_bytes())
        except OSError as error:
            raise EngineUnavailable(
                f"expected the promoted network {path.name} among your networks, got: {error.strerror}; {remedy}"
            ) from error
        if got != promotion.sha256:
            raise EngineUnavailable(
                f"expected the network {promotion.name} as it was promoted (SHA-256 {promotion.sha256[:12]}…), "
                f"got an altered file ({got[:12]}…); {remedy}"
            )
        return path

    def promote(self, kind: Kind, new: Promotion, judged_against: Promotion | None) -> None:
        """Put `new` in force.

        Args:
            kind: what it is for.
            new: with what the gate measured.
            judged_against: what was in force when the gate began.

        Raises:
            PromotionError: another one is in force by now.
            OSError: the folder cannot be written to.
        """
        history = self.history
        stack = history.promoted.get(kind, ())
        if (stack[-1] if stack else None) != judged_against:
            raise PromotionError(
                f"expected {new.over} to be in force still, got another promotion meanwhile; promote again"
            )
        done = "promoted" if new.forced_against is None else "forced"
        step = Step(at=new.promoted_at, done=done, kind=kind, name=new.name, remark=new.forced_against or "")
        self._write(history, kind, (*stack, new), step)

    def roll_back(self, kind: Kind) -> str:
        """Put in force what was before the newest promotion; its name.

        Raises:
            PromotionError: nothing was promoted.
            OSError: the folder cannot be written to.
        """
        history = self.history
        stack = history.promoted.get(kind, ())
        if not stack:
            raise PromotionError(
                f"expected a promotion to roll back, got none: {kind.shipped_name}, which ships, is in force"
            )
        before = stack[-2].name if len(stack) > 1 else kind.shipped_name
        step = Step(at=now(), done="rolled back to", kind=kind, name=before, remark=f"from {stack[-1].name}")
        self._write(history, kind, stack[:-1], step)
        return before

    def _write(self, history: History, kind: Kind, stack: tuple[Promotion, ...], step: Step) -> None:
        new = History(promoted={**history.promoted, kind: stack}, steps=(*history.steps, step))
        self._folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self._file) as written:
            written.write_text(new.text(indent=1) + "\n", encoding="utf-8")


def network_file(folder: Path, name: str) -> Path:
    """Where the network called `name` lies in a user's folder."""
    return folder / f"{name}.onnx"


def now() -> datetime:
    """This second, in UTC."""
    return datetime.now(UTC).replace(microsecond=0)
