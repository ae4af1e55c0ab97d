"""Live phase for off-axis quantitative phase microscopes.

`from qpi_live import PhaseClient` is what a program needs that talks to a running service. Everything else lies in four
packages, and imports point one way only: `qpi_live.bench` → `service` → `models` → `camera`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qpi_live.service.client import PhaseClient, ReceivedFrame, ServiceError

# In a checkout the packages lie beside this folder; a script that is started there finds this one first.
if (Path(__file__).parents[1] / "pyproject.toml").is_file():
    __path__.append(str(Path(__file__).parents[1]))

__all__ = ["PhaseClient", "ReceivedFrame", "ServiceError"]


def __getattr__(name: str) -> Any:
    # On demand: the process that owns a camera imports this package too, and has no use for an HTTP client.
    if name in __all__:
        return getattr(import_module("qpi_live.service.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
