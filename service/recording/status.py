"""How a recording stands."""

from __future__ import annotations

from dataclasses import dataclass

from qpi_live.camera.account import AccountSnapshot


@dataclass(frozen=True, slots=True)
class Status:
    """How a recording stands.

    Attributes:
        name: its folder's.
        state: `waiting` for the trigger, `recording`, `done`, `stopped` or `failed`.
        sentence: the same for people.
        layers: what it has.
        frames: that are in the file.
        bytes: of images.
        elapsed_s: since it was begun.
        lost: frames that are missing, by reason.
        phase_lost: recorded frames whose phase is missing, where both are recorded, by reason.
        left_out: frames that are not in it on purpose, by reason.
        account: of the layer that leads.
        free_bytes: on the disk, beyond what is kept free; None where it cannot be told.
    """

    name: str
    state: str
    sentence: str
    layers: tuple[str, ...]
    frames: int
    bytes: int
    elapsed_s: float
    lost: dict[str, int]
    phase_lost: dict[str, int]
    left_out: dict[str, int]
    account: AccountSnapshot
    free_bytes: int | None
