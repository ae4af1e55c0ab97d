"""How a recording stands."""

from __future__ import annotations

from dataclasses import dataclass

from qpi_live.camera.account import AccountSnapshot


@dataclass(frozen=True, slots=True)
class Summary:
    """What is said of any recording, whether it is made now or lies on the disk.

    Attributes:
        name: its folder's.
        state: one word for programs; see the classes that follow from this one.
        sentence: the same for people.
        layers: what it has.
        frames: in its first layer.
        bytes: that it takes.
    """

    name: str
    state: str
    sentence: str
    layers: tuple[str, ...]
    frames: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Status(Summary):
    """How a recording stands that was begun here: `waiting`, `recording`, `done`, `stopped` or `failed`.

    Attributes:
        elapsed_s: since it was begun.
        lost: frames that are missing, by reason.
        phase_lost: recorded frames whose phase is missing, where both are recorded, by reason.
        left_out: frames that are not in it on purpose, by reason.
        account: of the layer that leads.
        free_bytes: on the disk, beyond what is kept free; None where it cannot be told.
    """

    elapsed_s: float
    lost: dict[str, int]
    phase_lost: dict[str, int]
    left_out: dict[str, int]
    account: AccountSnapshot
    free_bytes: int | None
