"""Writes a trained aberration network as ONNX, if ONNX Runtime agrees with torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.random import default_rng
from qpi_live.camera.whole_file import whole_file
from qpi_live.models.artifacts.background_network import INPUTS, OUTPUTS, BackgroundCard, BackgroundNetwork
from qpi_live.models.artifacts.checksum import forget_checksum, note_checksum
from qpi_live.models.export.onnx_file import ExportError, commit
from qpi_live.models.export.precision import stamped
from qpi_live.models.training.background_maps import GRID, draw
from qpi_live.models.training.checkpoint import Checkpoint
from qpi_live.models.training.cultures import CultureSet

_LARGEST_DIFFERENCE_RAD = 1e-3
_OPSET = 18


def export_background(checkpoint: Checkpoint, path: Path, data: Path, probes: int = 16) -> float:
    """Write `path`, and its checksum beside it, if the backgrounds that it and torch find agree on every probe.

    Args:
        checkpoint: of `qpi train --net background`.
        path: the ONNX file; replaced only by a file that agrees.
        data: the cultures to draw probes from.
        probes: how many maps to compare on.

    Returns:
        The largest difference between the two backgrounds, over all blocks of all probes, in rad.

    Raises:
        ExportError: they differ by 1e-3 rad or more.
    """
    model = stamped(_graph(checkpoint), _card(checkpoint).metadata())
    with whole_file(path) as written:
        onnx.save(model, written)
        difference_rad = _difference_rad(checkpoint, BackgroundNetwork(written), CultureSet(data, "validation"), probes)
        if not difference_rad < _LARGEST_DIFFERENCE_RAD:
            raise ExportError(
                f"expected ONNX Runtime within {_LARGEST_DIFFERENCE_RAD} rad of torch, got {difference_rad:.2g} rad; "
                "nothing was written"
            )
        forget_checksum(path)
    note_checksum(path)
    return difference_rad


def _card(checkpoint: Checkpoint) -> BackgroundCard:
    record = checkpoint.record
    return BackgroundCard(
        origin=record.started_from,
        cultures=record.cultures,
        samples=checkpoint.samples,
        trained_s=round(checkpoint.elapsed_s),
        median_db=round(checkpoint.psnr_db, 2),
        tenth_db=round(record.tenth_db, 2),
        commit=commit(),
    )


def _graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    blank = torch.zeros(1, 1, 128, 128)
    program = torch.onnx.export(
        checkpoint.network(),
        (blank, blank.clone()),
        dynamo=True,
        opset_version=_OPSET,
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        verbose=False,
    )
    if program is None:
        raise ExportError("expected a graph from torch, got none")
    return program.model_proto


def _difference_rad(checkpoint: Checkpoint, written: BackgroundNetwork, cultures: CultureSet, probes: int) -> float:
    """The largest, over all probes, between the polynomials that are solved from both networks' maps."""
    net, rng = checkpoint.network(), default_rng(30)
    largest = 0.0
    for _ in range(probes):
        sample = draw(cultures, rng)
        maps = sample.means_rad, sample.valid
        with torch.inference_mode():
            log_weight, phase = net(*(torch.from_numpy(np.ascontiguousarray(m))[None, None] for m in maps))
        expected = GRID.solve(sample.means_rad - phase[0, 0].numpy(), log_weight[0, 0].numpy(), sample.valid)
        log_weight, phase = written.judge(*maps)
        got = GRID.solve(sample.means_rad - phase, log_weight, sample.valid)
        largest = max(largest, float(np.abs(GRID.without(np.zeros_like(phase), got - expected)).max()))
    return largest
