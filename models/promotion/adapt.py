"""A network for one's own microscope, from a recording of it: instrument, pairs, short training, export.

Each step leaves its result in the run's folder, and is passed over where that is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qpi_live.camera.frame import Frame
from qpi_live.camera.optics import Optics
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.agreement import Probe
from qpi_live.models.artifacts.promotions import Figures
from qpi_live.models.engines.onnx import SHIPPED
from qpi_live.models.export.onnx_file import ExportError, export
from qpi_live.models.nets.blocks import LEVEL_STRIDES
from qpi_live.models.promotion.judgement import Verdict
from qpi_live.models.training.checkpoint import Checkpoint
from qpi_live.models.training.exported import weights_of
from qpi_live.models.training.measurement import measure_instrument
from qpi_live.models.training.pairs import DataError, PairSet
from qpi_live.models.training.plan import TrainingPlan
from qpi_live.models.training.run_folder import BEST, LAST
from qpi_live.models.training.simulate import simulate_pairs
from qpi_live.models.training.train import train

_STRIDE = max(LEVEL_STRIDES)
_LARGEST_PX = 1024
_CROP_PX = 512
_VALIDATION = 8
_PROBES = 8
_LEARNING_RATE = 0.001  # an eighth of a first training's: the weights are good already
_ANY_EPOCHS = 100_000  # the minutes end it
_BETTER_DB, _BETTER_RAD = 0.1, 0.01


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked for; one that goes on must be asked for the same.

    Attributes:
        recording: the camera that gave the frames.
        pairs: to train on.
        size: edge of the frames that were read; None: as they are.
        channel: of the recording.
    """

    recording: str
    pairs: int
    size: int | None
    channel: str


class Adaptation:
    """One run in one folder, which is made once the instrument is measured: what is refused before leaves nothing.

    Args:
        folder: of the run; gone on with if it has begun.
        asked: see `Asked`.

    Raises:
        ValueError: the folder has a run that was asked for something else.
    """

    def __init__(self, folder: Path, asked: Asked) -> None:
        self._folder = folder
        self._noted = folder / "adapt.json"
        self._asked = asked
        text = json.dumps(asdict(asked))
        if self._noted.exists() and (noted := self._noted.read_text()) != text:
            raise ValueError(f"expected a run of {text} in {folder}, got one of {noted}; name another folder")

    def instrument(self, frames: Sequence[Frame], optics: Optics, name: str) -> Instrument:
        """The instrument that took `frames`, for pairs of at most 1024².

        Raises:
            ValueError: no frames, frames that no network here takes, or optics that say too little.
            InferenceError: the frames show no fringes.
        """
        file = self._folder / "instrument.json"
        if not file.exists():
            if frames and (frames[0].shape[0] % _STRIDE or frames[0].shape[1] % _STRIDE):
                height, width = frames[0].shape
                raise ValueError(
                    f"expected frames whose height and width {_STRIDE} divides, got {height} × {width}; choose a --size"
                )
            measured = measure_instrument(frames, optics, name).instrument
            height, width = (min(edge, _LARGEST_PX) for edge in measured.shape)
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._noted) as written:
                written.write_text(json.dumps(asdict(self._asked)))
            with whole_file(file) as written:
                written.write_text(replace(measured, shape=(height, width)).to_json())
        return Instrument.from_file(file)

    def pairs(self, instrument: Instrument, processes: int, on_pair: Callable[[], None]) -> Path:
        """The folder of simulated pairs of the instrument; a set that was interrupted is begun anew."""
        folder = self._folder / "pairs"
        try:
            PairSet(folder, "train")
        except DataError:
            splits = {"train": self._asked.pairs, "validation": _VALIDATION}
            simulate_pairs(instrument, folder, splits, seed=1, processes=processes, on_pair=on_pair)
        return folder

    @property
    def pairs_to_make(self) -> int:
        """How often `pairs` calls `on_pair`."""
        return self._asked.pairs + _VALIDATION

    def train(self, pairs: Path, minutes: float, threads: int | None) -> Checkpoint:
        """Train on from the shipped weights, `minutes` in all over every resumption; what validated best.

        Raises:
            ValueError: the frames are too small.
        """
        spec, start = weights_of(SHIPPED)
        crop = min(_CROP_PX, *PairSet(pairs, "train").shape) // _STRIDE * _STRIDE
        plan = TrainingPlan(
            crop=crop,
            epochs=_ANY_EPOCHS,
            minutes=minutes,
            learning_rate=_LEARNING_RATE,
            batch_norm_frozen_from=0.0,  # the shipped network's are folded into its weights
            threads=threads,
        )
        run = self._folder / "train"
        done = self._folder / "trained-minutes.txt"  # a checkpoint's own time ends some moments before the run does
        if not done.exists() or float(done.read_text()) < minutes:
            self._exported.unlink(missing_ok=True)
            train(run, pairs, spec, plan, start=start, started_from=SHIPPED.name, phase_loss="root-mixge")
            with whole_file(done) as written:
                written.write_text(f"{minutes}\n")
        return Checkpoint.load(run / (BEST if (run / BEST).exists() else LAST))

    def export(self, checkpoint: Checkpoint, pairs: Path, precision: str) -> Path:
        """The network as ONNX; in float32 where 8-bit integers lose too much."""
        path = self._exported
        if path.exists():
            return path
        validation = PairSet(pairs, "validation")
        count = min(_PROBES, len(validation))
        probes = [Probe(validation.pixels(n), validation.phase_rad(n)) for n in range(count)]
        try:
            export(checkpoint, path, probes, precision=precision)
        except ExportError:
            if precision == "fp32":
                raise
            export(checkpoint, path, probes)
        return path

    @property
    def _exported(self) -> Path:
        return self._folder / "network.onnx"


def why_no_gain(verdict: Verdict) -> str | None:
    """Why an adapted network is not worth promoting, in a sentence; None if it is."""
    if verdict.refusal is not None or verdict.before_figures is None:
        return verdict.refusal
    if _is_better(verdict.figures, verdict.before_figures):
        return None
    return f"expected {verdict.network.name} to be better than {verdict.before.name} in some figure, got none that is"


def _is_better(new: Figures, before: Figures) -> bool:
    gained = any(new.psnr_db[name] >= old_db + _BETTER_DB for name, old_db in before.psnr_db.items())
    if new.difference_rad is None or before.difference_rad is None:
        return gained
    return gained or new.difference_rad <= before.difference_rad - _BETTER_RAD
