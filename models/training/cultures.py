"""Rendered cultures on disk: the phase of cells without any microscope, for networks that learn from phase alone.

A folder with

    cultures.json   its card: seed, pitch, how many there are for training and for validation
    cultures.npy    (N, 256, 256) float16 rad, one value every 6 px of a field of 1536 px, the validation ones last
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.random import default_rng
from numpy.typing import NDArray
from qpi_live.camera.simulation.specimen import Culture, Kind, Specimen
from qpi_live.camera.whole_file import whole_file
from qpi_live.camera.worker_pool import worker_pool
from qpi_live.models.artifacts.card import Card, CardError
from qpi_live.models.training.pairs import DataError

EDGE = 256
PITCH_PX = 6
_MANIFEST, _ARRAY = "cultures.json", "cultures.npy"
_KINDS: tuple[Kind, ...] = ("adherent", "adherent", "ellipsoids", "mixed")
_DENSE_SHARE = 0.5  # where the background is scarce is where there is something to learn


class CulturesCard(Card):
    """The card of a set of cultures, `cultures.json` in its folder.

    Attributes:
        seed: of the whole set.
        pitch_px: distance between the values of a map, in pixels of the field.
        train, validation: how many there are for each.
    """

    FORMAT: ClassVar[str] = "qpi cultures 1"
    WHAT: ClassVar[str] = "a folder of cultures"
    REMEDY: ClassVar[str] = "`qpi cultures` makes one"

    seed: int
    pitch_px: int
    train: int
    validation: int


def render_culture(seed: int, number: int) -> NDArray[np.float16]:
    """(256, 256) float16 rad: culture `number` of the set that `seed` stands for; same numbers, same bytes."""
    rng = default_rng([seed, number])
    dense = rng.random() < _DENSE_SHARE
    specimen = Specimen(
        kind=_KINDS[int(rng.integers(len(_KINDS)))],
        coverage=rng.uniform(0.75, 0.95) if dense else rng.uniform(0.03, 0.75),
        peak_rad=rng.uniform(2.0, 12.0),
        cell_px=float(np.exp(rng.uniform(np.log(80), np.log(650)))),
    )
    field_px = EDGE * PITCH_PX
    culture = Culture(specimen, (field_px, field_px), seed * 10**6 + number)
    return culture.phase_rad(0.0, PITCH_PX).astype(np.float16)


def render_cultures(
    folder: Path,
    train: int,
    validation: int,
    seed: int = 1,
    processes: int = 1,
    on_culture: Callable[[], None] = lambda: None,
) -> None:
    """Render a set of cultures into `folder`.

    Args:
        folder: to be made; it may exist but not hold a finished set.
        train: cultures to train on.
        validation: cultures to measure with while training.
        seed: of the whole set.
        processes: how many render side by side; the cultures do not depend on it.
        on_culture: called after each, for a progress bar.

    Raises:
        DataError: a finished set is there already.
    """
    if (folder / _MANIFEST).exists():
        raise DataError(f"expected a folder without cultures, got {folder}, which has some; name another")
    folder.mkdir(parents=True, exist_ok=True)
    count = train + validation
    cultures = open_memmap(folder / _ARRAY, "w+", np.float16, (count, EDGE, EDGE))
    with worker_pool(processes) as pool:
        rendered = pool.map(partial(render_culture, seed), range(count), chunksize=4)
        for number, culture in enumerate(rendered):
            cultures[number] = culture
            on_culture()
    cultures.flush()
    card = CulturesCard(seed=seed, pitch_px=PITCH_PX, train=train, validation=validation)
    with whole_file(folder / _MANIFEST) as written:
        written.write_text(card.text() + "\n", encoding="utf-8")


class CultureSet:
    """One split, `train` or `validation`, of a folder of cultures.

    Raises:
        DataError: the folder is not such a set, or has no such split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        try:
            card = CulturesCard.parse((folder / _MANIFEST).read_text())
        except (OSError, CardError) as error:
            raise DataError(f"expected a folder of cultures, got {folder}; `qpi cultures` makes one") from error
        counts = {"train": card.train, "validation": card.validation}
        if not counts.get(split):
            raise DataError(f"expected a split of {folder} with cultures in it, got {split!r}")
        self.seed = card.seed
        self._count = counts[split]
        self._first = 0 if split == "train" else card.train
        self._cultures: NDArray[np.float16] = np.load(folder / _ARRAY, mmap_mode="r")

    def __len__(self) -> int:
        return self._count

    def phase_rad(self, number: int) -> NDArray[np.float32]:
        """(256, 256) float32 rad, culture `number` of the split, a copy."""
        return np.array(self._cultures[self._first + number], dtype=np.float32)
