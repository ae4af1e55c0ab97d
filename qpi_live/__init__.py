"""Live phase for off-axis quantitative phase microscopes.

`from qpi_live import PhaseClient` is what a program needs that talks to a running service. Everything else lies in four
packages, and imports point one way only: `qpi_live.bench` → `service` → `models` → `camera`.
"""

from __future__ import annotations

import os
from importlib import import_module

# Little is imported here, `typing` neither: until the command `qpi` listens to Ctrl+C, it would end with a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from qpi_live.service.client import PhaseClient, ReceivedFrame, ServiceError

# In a checkout the packages lie beside this folder; a script that is started there finds this one first.
_beside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.isfile(os.path.join(_beside, "pyproject.toml")):
    __path__.append(_beside)

__all__ = ["PhaseClient", "ReceivedFrame", "ServiceError"]


def __getattr__(name: str) -> Any:
    # On demand: the process that owns a camera imports this package too, and has no use for an HTTP client.
    if name in __all__:
        return getattr(import_module("qpi_live.service.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
