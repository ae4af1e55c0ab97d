"""Pairs from real frames: the classical chain makes the phase; frames whose phase is doubtful are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from natsort import natsorted
from numpy.typing import NDArray
from qpi_live.camera.files.image_file import read_image
from qpi_live.camera.frame import Frame, Pixels
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.carrier import find_carrier
from qpi_live.models.classical.unwrapping.branch_cuts import find_residues
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.errors import InferenceError
from qpi_live.models.phase_frame import PhaseFrame
from qpi_live.models.training.pairs import PAPER_SPLITS, DataError, PairWriter

_CELL_RAD = 1.0  # phase above which a pixel is taken to lie in a cell
_MOST_RESIDUES_IN_CELLS = 4
_MOST_DISPUTED = 0.002
_MOST_SATURATED = 0.001

Phase = NDArray[np.float32]
Pair = tuple[Pixels, Phase]


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of a recording: pairs written, and frames left out by reason."""

    written: int
    left_out: Mapping[str, int]


def why_untrustworthy(result: PhaseFrame) -> str | None:
    """Why a phase must not be learned from; None if it may.

    Saturated light has lost its fringes, residues inside cells and disputed regions make the multiple of 2π a guess.
    """
    frame = result.frame
    if np.mean(frame.pixels >= 2**frame.bit_depth - 1) > _MOST_SATURATED:
        return "saturated"
    if (result.quality.disputed_pixels or 0) > _MOST_DISPUTED * frame.pixels.size:
        return "disputed regions"
    residues = find_residues(result.wrapped_rad(), RowBands(frame.shape[0]))
    in_cells = result.phase_rad[residues[:, 0], residues[:, 1]] > _CELL_RAD
    return "residues inside cells" if int(in_cells.sum()) > _MOST_RESIDUES_IN_CELLS else None


def label(frames: Iterable[Frame], engine: ClassicalEngine, folder: Path, origin: Mapping[str, object]) -> Labelled:
    """Write a folder of pairs from `frames`, by `engine`, in splits of the paper's proportions.

    The frames are of one camera: the set's bit depth is the largest among those that are kept.

    Raises:
        DataError: fewer than three frames can be trusted, or `folder` has pairs already.
    """
    pairs: list[Pair] = []
    left_out: Counter[str] = Counter()
    bit_depth = 1
    for frame in frames:
        try:
            find_carrier(frame.pixels)  # the engine keeps the carrier it found once, whether or not this frame has it
            result = engine.retrieve(frame)
        except InferenceError as error:
            left_out[error.reason] += 1
            continue
        reason = why_untrustworthy(result)
        if reason:
            left_out[reason] += 1
        else:
            pairs.append((frame.pixels, result.phase_rad))
            bit_depth = max(bit_depth, frame.bit_depth)
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none left out"
    if len(pairs) < len(PAPER_SPLITS):
        raise DataError(f"expected at least {len(PAPER_SPLITS)} trustworthy frames, got {len(pairs)} ({reasons})")
    write_split(pairs, folder, bit_depth, {"kind": "labelled", **origin})
    return Labelled(len(pairs), dict(left_out))


def read_pairs(interferograms: Path, phases: Path) -> tuple[list[Pair], int]:
    """Somebody's own pairs: two folders whose files have the same names but for the ending.

    Args:
        interferograms: folder of .npy, TIFF, PNG or BMP grey values.
        phases: folder of .npy or TIFF phases in rad, of the same shapes.

    Returns:
        The pairs in the order of their names, and the least bit depth that holds all grey values.

    Raises:
        DataError: a file has no partner, or shapes differ.
    """
    grey, true = _files_by_stem(interferograms), _files_by_stem(phases)
    alone = sorted(grey.keys() ^ true.keys())
    if alone or not grey:
        named = f"{alone[0]!r} and {len(alone) - 1} more without a partner" if alone else "two empty folders"
        raise DataError(f"expected each interferogram to have a phase of the same name, got {named}")
    images = {name: read_image(path) for name, path in grey.items()}
    bit_depth = max(image.bit_depth for image in images.values())
    pairs = []
    for name, image in images.items():
        phase_rad = _read_phase(true[name])
        if phase_rad.shape != image.pixels.shape:
            raise DataError(f"expected a phase of {image.pixels.shape} in {true[name]}, got {phase_rad.shape}")
        pairs.append((image.pixels, phase_rad))
    return pairs, bit_depth


def write_split(pairs: Sequence[Pair], folder: Path, bit_depth: int, origin: Mapping[str, object]) -> None:
    """Write pairs to `folder`, in splits of the paper's proportions (276 : 60 : 62).

    Each split is one stretch of the pairs' order. Frames that follow each other show nearly the same thing: were they
    shuffled, each frame of the test would have a neighbour in the training.
    """
    total = sum(PAPER_SPLITS.values())
    held = {split: max(1, round(len(pairs) * PAPER_SPLITS[split] / total)) for split in ("validation", "test")}
    splits = {"train": len(pairs) - sum(held.values()), **held}
    with PairWriter(folder, splits, _shape(pairs[0][0]), bit_depth, origin) as writer:
        for pixels, phase_rad in pairs:
            writer.add(pixels, phase_rad, "real")


def _files_by_stem(folder: Path) -> dict[str, Path]:
    """The files of a folder in natural order, hidden ones left out: a Mac lays `._x` beside each `x`."""
    visible = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    return {path.stem: path for path in natsorted(visible, key=lambda path: path.name)}


def _read_phase(path: Path) -> Phase:
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else tifffile.imread(path)
    except (ValueError, OSError, tifffile.TiffFileError) as error:
        raise DataError(f"expected a phase in rad at {path} (.npy or TIFF), got: {error}") from error
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
        raise DataError(f"expected a finite 2-D phase of floats in {path}, got {values.dtype} of {values.shape}")
    return np.ascontiguousarray(values, dtype=np.float32)


def _shape(pixels: Pixels) -> tuple[int, int]:
    height, width = pixels.shape
    return height, width
