"""The stream's clients: each one's choice of layers, its mailbox, and the accounts of those who left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import isfinite
from threading import Lock
from time import time_ns

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from qpi_live.camera.account import AccountSnapshot
from qpi_live.models.analysis.refocus import WIDEST_UM
from qpi_live.service.line.hub import Hub, Mailbox
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.view import Dtype, Layer, View
from qpi_live.service.viewing.layers import check_downscale

MOST_CLIENTS = 64
_LARGEST_LIMIT = 1e6  # far beyond any phase or grey value, and safe in float32
_LEAST_RANGE = 1e-6


class AudienceFull(Exception):
    """As many clients watch as may."""


class Choice(BaseModel):
    """What a client of the stream wants; it may send a new one, or a part of one, at any time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: Layer = Field(default=Layer.PHASE, description=Layer.explained())
    beside: Layer | None = Field(default=None, description="another layer of each frame, sent right after the first")
    dtype: Dtype = "float32"
    max_fps: float = Field(default=0, ge=0, le=10_000, description="frames per second at most; 0: all that there are")
    downscale: int = Field(default=1, ge=1, le=64)
    credit: bool = Field(
        default=False, description='each frame after the first waits until the client has said {"ready": true}'
    )
    focus_um: float = Field(
        default=0, ge=-WIDEST_UM, le=WIDEST_UM, description="by how much the focal plane is moved along the light"
    )
    lo: float | None = Field(default=None, ge=-_LARGEST_LIMIT, le=_LARGEST_LIMIT)
    hi: float | None = Field(default=None, ge=-_LARGEST_LIMIT, le=_LARGEST_LIMIT)

    @field_validator("max_fps", "lo", "hi", "focus_um")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not isfinite(value):
            raise ValueError("expected a finite number")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Choice:
        if self.lo is not None and self.hi is not None and self.hi - self.lo < _LEAST_RANGE:
            raise ValueError(f"expected lo below hi, got {self.lo} and {self.hi}")
        return self

    @property
    def layers(self) -> list[Layer]:
        """The layers of each frame, in the order in which they are sent."""
        return [self.layer] if self.beside is None else [self.layer, self.beside]

    @property
    def views(self) -> list[View]:
        """What to render of each frame, in the order in which it is sent; lo and hi are the first layer's."""
        views = [View(self.layer, self.dtype, self.downscale, self.lo, self.hi, focus_um=self.focus_um)]
        if self.beside is not None:
            views.append(View(self.beside, self.dtype, self.downscale, focus_um=self.focus_um))
        return views


def choose(given: dict[str, object], before: Choice, shape: tuple[int, int]) -> Choice:
    """`before` with what was `given` in place of its own, for frames of `shape`.

    Raises:
        ValueError: one sentence on what does not fit.
    """
    try:
        choice = Choice.model_validate({**before.model_dump(), **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {message}" if where else message) from error
    check_downscale(choice.downscale, shape)
    return choice


@dataclass(slots=True, eq=False)
class Listener:
    """One client of the stream."""

    name: str
    choice: Choice
    mailbox: Mailbox[LiveFrame]


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A note of a frame that a client was sent: in which layers, and from when to when, in ns of Unix time."""

    sequence: int
    client: str
    layers: tuple[str, ...]
    began_ns: int
    ended_ns: int


class Audience:
    """The stream's clients. Safe to use from any thread.

    Attributes:
        on_sent: called with a note of each frame that was sent, in the event loop: it must return at once.
    """

    on_sent: Callable[[SentFrame], None] | None = None

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = Lock()
        self._numbers = count(1)
        self._listeners: dict[str, Listener] = {}
        self._ended: Counter[str] = Counter()
        self._departed = AccountSnapshot(0, 0, 0)

    def join(self, address: str, choice: Choice, on_arrival: Callable[[], None]) -> Listener:
        """A listener with a mailbox of its own.

        Raises:
            AudienceFull: `MOST_CLIENTS` watch already.
        """
        with self._lock:
            if len(self._listeners) >= MOST_CLIENTS:
                raise AudienceFull(f"expected at most {MOST_CLIENTS} clients, and they are here; close one")
            name = f"{address}#{next(self._numbers)}"
            listener = Listener(name, choice, self._hub.subscribe(name, on_arrival))
            self._listeners[name] = listener
            return listener

    def leave(self, listener: Listener, reason: str) -> None:
        """Take `listener` out; none of its frames may be in flight any more."""
        self._hub.unsubscribe(listener.name)
        with self._lock:
            del self._listeners[listener.name]
            self._ended[reason] += 1
            self._departed = add_accounts(self._departed, listener.mailbox.account.snapshot())

    def note_sent(self, listener: Listener, sequence: int, choice: Choice, began_ns: int) -> None:
        """Tell whoever wants to know that `listener` has just been sent a frame, begun at `began_ns` of Unix time."""
        on_sent = self.on_sent
        if on_sent is not None:
            layers = tuple(layer.value for layer in choice.layers)
            on_sent(SentFrame(sequence, listener.name.partition("#")[0], layers, began_ns, time_ns()))

    def present(self) -> list[Listener]:
        """Who watches now."""
        with self._lock:
            return list(self._listeners.values())

    def departed(self) -> tuple[dict[str, int], AccountSnapshot]:
        """How many left, by why, and the sum of their accounts."""
        with self._lock:
            return dict(self._ended), self._departed

    def total(self) -> AccountSnapshot:
        """The sum of all accounts, of those present and those gone; its counters never fall."""
        with self._lock:
            total = self._departed
            for listener in self._listeners.values():
                total = add_accounts(total, listener.mailbox.account.snapshot())
            return total


def add_accounts(a: AccountSnapshot, b: AccountSnapshot) -> AccountSnapshot:
    """The sum of two accounts, reason by reason."""
    return AccountSnapshot(
        captured=a.captured + b.captured,
        delivered=a.delivered + b.delivered,
        in_flight=a.in_flight + b.in_flight,
        dropped=dict(Counter(a.dropped) + Counter(b.dropped)),
        failed=dict(Counter(a.failed) + Counter(b.failed)),
    )
