"""The engines that benches time: those that can be served, and networks in torch beside them."""

from __future__ import annotations

from importlib import import_module

from qpi_live.models.engine import EngineOptions, PhaseEngine, open_engine, why_not_at_once
from qpi_live.models.errors import EngineUnavailable

_TORCH = "torch:"


def open_to_time(name: str, options: EngineOptions) -> PhaseEngine:
    """The engine called `name`, the network in the file of that name, or, behind `torch:`, a network in torch.

    Raises:
        EngineUnavailable: there is none of that name, or it cannot be made here.
    """
    if not name.startswith(_TORCH):
        return open_engine(name, options, may_be_file=True)
    try:
        in_torch = import_module("qpi_live.bench.timing.torch_engine")
    except ModuleNotFoundError as missing:
        raise EngineUnavailable(
            f"expected the package {missing.name!r} for {name}, got none: pip install 'qpi-live[train]'"
        ) from missing
    engine: PhaseEngine = in_torch.TorchEngine(options, network_of(name))
    return engine


def why_not_here(name: str) -> str | None:
    """Why there is no such engine here, if that can be told at once: see `models.engine.why_not_at_once`."""
    return None if name.startswith(_TORCH) else why_not_at_once(name)


def network_of(name: str) -> str:
    """What stands behind `torch:`; the name as it is without."""
    return name.removeprefix(_TORCH)
