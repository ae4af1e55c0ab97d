"""The processes that train side by side, and the device that each works on."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class World:
    """torchrun's processes; one where there is no torchrun."""

    rank: int = 0
    size: int = 1


class Processes(AbstractContextManager[World]):
    """Joins the processes of torchrun, where it started this one."""

    def __enter__(self) -> World:
        self._joined = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if not self._joined:
            return World()
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return World(dist.get_rank(), dist.get_world_size())

    def __exit__(self, *_: object) -> None:
        if self._joined:
            dist.destroy_process_group()


def pick_device() -> torch.device:
    """This process's GPU where there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return torch.device("cuda")
