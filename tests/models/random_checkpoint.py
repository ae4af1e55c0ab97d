"""A NAS-PRNet of two connections that nobody trained: all that an export needs, in a tenth of the time."""

from __future__ import annotations

import torch
from qpi_live.camera.frame import Pixels
from qpi_live.models.nets.connections import Connection
from qpi_live.models.training.checkpoint import Checkpoint, NetSpec, RunRecord, TrainedOn
from qpi_live.models.training.pairs import Origin

from tests.models.small_network import BENCH


def random_checkpoint(pixels: Pixels) -> Checkpoint:
    """With random weights, and the statistics of one frame, so that its phase is a picture and not a constant."""
    torch.manual_seed(0)
    spec = NetSpec("nasprnet", (Connection.named("E1_D1"), Connection.named("E2_D1")))
    net = spec.build()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.from_numpy(pixels.copy())[None, None] / 255)
    record = RunRecord(data=TrainedOn(bit_depth=8, origin=Origin(instrument=BENCH)))
    return Checkpoint(spec, net.state_dict(), best_psnr_db=1.0, record=record)
