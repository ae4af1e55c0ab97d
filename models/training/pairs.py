"""Pairs of interferogram and true phase on disk: one format, however they were made.

A folder with

    manifest.json        its card: splits, shape, bit depth, origin, and the condition of every pair
    interferograms.npy   (N, H, W) uint8 or uint16 grey values
    phases.npy           (N, H, W) float16 rad

Both arrays are read memory-mapped, so a set may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, field_validator
from qpi_live.camera.frame import Pixels
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.card import Card, CardError
from qpi_live.models.metrics import PHASE_RANGE_RAD

"""Phases are cut to 0 … 12 rad and divided by 12 for the networks (Shu 2022 §2B)."""

PAPER_SPLITS = {"train": 276, "validation": 60, "test": 62}
_LARGEST_PHASE_RAD = float(np.finfo(np.float16).max)
_MANIFEST = "manifest.json"


class DataError(ValueError):
    """A folder of pairs is not what it should be; the text says what was expected, what came, and what to do."""


class Origin(BaseModel):
    """Where pairs come from; whatever else their maker said of it is kept.

    Attributes:
        kind: `simulated`, `labelled` or `gathered`.
        seed: of simulated pairs.
        mix: share of each condition of simulated pairs.
        instrument: that took them; None where it is not known.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = ""
    seed: int | None = None
    mix: dict[str, float] | None = None
    instrument: Instrument | None = None

    @field_validator("instrument", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) else value  # as the first format had it


class PairsCard(Card):
    """The card of a set of pairs, `manifest.json` in its folder.

    Attributes:
        count: pairs in all.
        shape: (H, W) of every pair.
        bit_depth: significant bits of a grey value.
        splits: the numbers of each split's pairs.
        conditions: what each pair was made under.
        origin: where they come from.
    """

    FORMAT: ClassVar[str] = "qpi pairs 2"
    EARLIER: ClassVar[tuple[str, ...]] = ("qpi pairs 1",)
    WHAT: ClassVar[str] = "a folder of pairs"
    REMEDY: ClassVar[str] = "`qpi pairs` makes one"

    count: int
    shape: tuple[int, int]
    bit_depth: int
    splits: dict[str, tuple[int, ...]]
    conditions: tuple[str, ...]
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True)
class Crop:
    """One training sample: (size, size) interferogram over full scale and phase over 12 rad, both float32 in [0, 1]."""

    interferogram: NDArray[np.float32]
    phase: NDArray[np.float32]


class PairSet:
    """One split of a folder of pairs.

    Args:
        folder: what a `PairWriter` wrote.
        split: `train`, `validation` or `test`.

    Raises:
        DataError: the folder is not such a set, or has no such split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.card = _read_card(folder)
        splits = self.card.splits
        if split not in splits:
            raise DataError(f"expected a split among {', '.join(splits)}, got {split!r}")
        self._indices = list(splits[split])
        self._interferograms: Pixels = np.load(folder / "interferograms.npy", mmap_mode="r")
        self._phases: NDArray[np.float16] = np.load(folder / "phases.npy", mmap_mode="r")
        self.bit_depth = self.card.bit_depth
        for array in (self._interferograms, self._phases):
            if array.shape != (self.card.count, *self.shape):
                raise DataError(
                    f"expected {self.card.count} frames of {self.shape} in {folder}, "
                    f"got an array of {array.shape}; make the set again"
                )

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every pair."""
        return self.card.shape

    @property
    def numbers(self) -> list[int]:
        """The place of each pair of the split in the whole set, in order."""
        return list(self._indices)

    @property
    def conditions(self) -> list[str]:
        """The condition each pair of the split was made under, in order."""
        return [self.card.conditions[index] for index in self._indices]

    def pixels(self, number: int) -> Pixels:
        """(H, W) uint8 or uint16 grey values of pair `number` of the split, a copy."""
        return np.array(self._interferograms[self._indices[number]])

    def phase_rad(self, number: int) -> NDArray[np.float32]:
        """(H, W) float32 true phase of pair `number` of the split, in rad, not cut."""
        return np.array(self._phases[self._indices[number]], dtype=np.float32)

    def crop(self, number: int, size: int, rng: np.random.Generator) -> Crop:
        """A (size, size) piece of pair `number` at a place that `rng` chooses."""
        height, width = self.shape
        top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        return self._piece(number, slice(top, top + size), slice(left, left + size))

    def whole(self, number: int) -> Crop:
        """Pair `number` at full size."""
        return self._piece(number, slice(None), slice(None))

    def epoch_order(self, seed: int, epoch: int) -> Iterator[int]:
        """Every pair once, in an order that depends on `seed` and `epoch` only."""
        order = np.random.default_rng((seed, epoch)).permutation(len(self))
        return (int(number) for number in order)

    def _piece(self, number: int, rows: slice, columns: slice) -> Crop:
        index = self._indices[number]
        full_scale = np.float32(2**self.bit_depth - 1)
        interferogram = self._interferograms[index, rows, columns].astype(np.float32) / full_scale
        phase = self._phases[index, rows, columns].astype(np.float32) / np.float32(PHASE_RANGE_RAD)
        return Crop(interferogram, np.clip(phase, 0, 1, out=phase))


class PairWriter:
    """Writes a folder of pairs, in order; a context manager. Nothing is readable there until it ends well.

    Args:
        folder: to be made; it may exist but not hold a finished set.
        splits: how many pairs each split has, in the order they will be written.
        shape: (H, W) of every pair.
        bit_depth: significant bits of a grey value.
        origin: where the pairs come from, as `Origin` has it (kind, instrument, seed, recording, …).

    Raises:
        DataError: a finished set is there already.
    """

    def __init__(
        self,
        folder: Path,
        splits: Mapping[str, int],
        shape: tuple[int, int],
        bit_depth: int,
        origin: Mapping[str, Any],
    ) -> None:
        if (folder / _MANIFEST).exists():
            raise DataError(f"expected a folder without pairs, got {folder}, which has some; name another")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._splits = dict(splits)
        self._shape = shape
        self._bit_depth = bit_depth
        self._origin = Origin.model_validate(dict(origin))
        self._conditions: list[str] = []
        count = sum(splits.values())
        pixel_type = np.uint8 if bit_depth <= 8 else np.uint16
        self._interferograms = open_memmap(folder / "interferograms.npy", "w+", pixel_type, (count, *shape))
        self._phases = open_memmap(folder / "phases.npy", "w+", np.float16, (count, *shape))

    def __enter__(self) -> PairWriter:
        return self

    def add(self, pixels: Pixels, phase_rad: NDArray[np.floating[Any]], condition: str) -> None:
        """Write the next pair: (H, W) grey values and their phase in rad.

        Raises:
            DataError: another shape; grey values that are not whole or do not fit the set's bit depth; a phase that is
                not finite or too large for half precision.
        """
        index = len(self._conditions)
        if pixels.shape != self._shape or phase_rad.shape != self._shape:
            raise DataError(f"expected pairs of {self._shape}, got {pixels.shape} and {phase_rad.shape}")
        if pixels.dtype.kind not in "ui" or int(pixels.min()) < 0 or int(pixels.max()) >= 2**self._bit_depth:
            raise DataError(
                f"expected grey values of {self._bit_depth} bits, got {pixels.dtype} of {pixels.min()} … {pixels.max()}"
            )
        if not float(np.abs(phase_rad).max()) <= _LARGEST_PHASE_RAD:  # which NaN is not, either
            raise DataError(f"expected finite phases of at most {_LARGEST_PHASE_RAD:.0f} rad, got others")
        self._interferograms[index] = pixels
        self._phases[index] = phase_rad
        self._conditions.append(condition)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        count = sum(self._splits.values())
        if len(self._conditions) != count:
            raise DataError(f"expected {count} pairs, got {len(self._conditions)}")
        self._interferograms.flush()
        self._phases.flush()
        card = PairsCard(
            count=count,
            shape=self._shape,
            bit_depth=self._bit_depth,
            splits=_ranges(self._splits),
            conditions=tuple(self._conditions),
            origin=self._origin,
        )
        with whole_file(self._folder / _MANIFEST) as written:
            written.write_text(card.text() + "\n", encoding="utf-8")


def _ranges(splits: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    ranges: dict[str, tuple[int, ...]] = {}
    start = 0
    for name, count in splits.items():
        ranges[name] = tuple(range(start, start + count))
        start += count
    return ranges


def _read_card(folder: Path) -> PairsCard:
    try:
        return PairsCard.parse((folder / _MANIFEST).read_text())
    except FileNotFoundError:
        raise DataError(
            f"expected a folder of pairs, got {folder} without {_MANIFEST}; `qpi pairs` makes one"
        ) from None
    except CardError as error:
        raise DataError(f"cannot use {folder}: {error}") from error
