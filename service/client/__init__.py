"""The Python client: NumPy arrays with units and times, and what a user can do on the page.

`phase_client.PhaseClient` is where to start. Importing it brings in NumPy alone; what reads the stream and what talks
REST are loaded when they are first used.
"""

from __future__ import annotations

from qpi_live.service.client.phase_client import PhaseClient
from qpi_live.service.client.received import ReceivedFrame, ServiceError

__all__ = ["PhaseClient", "ReceivedFrame", "ServiceError"]
