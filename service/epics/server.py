"""A PV Access server that stands for one service."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from p4p.server import Server, StaticProvider
from qpi_live.service.client import PhaseClient
from qpi_live.service.epics.images import ImageVariable
from qpi_live.service.epics.statistics import StatisticVariables

IMAGES = {"PHASE": "phase", "INTERFEROGRAM": "interferogram"}


class EpicsServer:
    """Provides the images and statistics of a service until it is closed; a context manager.

    Args:
        client: of the service.
        prefix: what every variable's name begins with, such as `QPI:`.
        max_fps: images per second at most; 0: all that there are.
        interval_s: how often the statistics are read.
        options: of p4p's `Server`, such as `isolate=True` for tests.

    Attributes:
        names: of all variables.
    """

    def __init__(
        self, client: PhaseClient, prefix: str = "QPI:", max_fps: float = 0.0, interval_s: float = 1.0, **options: Any
    ) -> None:
        provider = StaticProvider("qpi-live")
        self._images = {name: ImageVariable(client, layer, max_fps) for name, layer in IMAGES.items()}
        self._statistics = StatisticVariables(client, interval_s)
        pvs = {name: image.pv for name, image in self._images.items()} | self._statistics.pvs
        for name, pv in pvs.items():
            provider.add(prefix + name, pv)
        self.names = [prefix + name for name in pvs]
        self._provider = provider
        self._server = Server(providers=[provider], **options)
        self._statistics.start()

    def __enter__(self) -> EpicsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def conf(self) -> dict[str, str]:
        """What a client needs to find this server, and no other."""
        return dict(self._server.conf())

    def close(self) -> None:
        """Provide nothing any more."""
        self._server.stop()
        self._statistics.stop()
        for image in self._images.values():
            image.stop()
