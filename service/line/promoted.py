"""Follows what `qpi models` promotes: the live engine takes it over while frames flow."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from qpi_live.models.artifacts.promotions import Figures, Kind, Promotion, Promotions, network_file
from qpi_live.models.errors import EngineError
from qpi_live.models.phase_frame import EngineIdentity
from qpi_live.service.line.engines import Engines

_LOOK_S = 1.0
_log = logging.getLogger(__name__)


class Promoted:
    """The networks in force in a folder, and the engines that use them.

    Args:
        folder: of the user's networks.
        engines: of the live stream, opened with what is in force now.

    Attributes:
        refusal: why the newest promotion was not taken over, in a sentence; None where it was.
    """

    def __init__(self, folder: Path, engines: Engines) -> None:
        self._folder = folder
        self._promotions = Promotions(folder)
        self._engines = engines
        self._version: tuple[int, int] | None = None  # the first look also sees what was promoted during the start
        self._promotion = self._in_force()
        self.refusal: str | None = None

    def figures_of(self, engine: EngineIdentity) -> Figures | None:
        """What the gate measured of the network that `engine` is; None where it is none, or never passed the gate."""
        promotion = self._promotion
        if promotion is None or engine.kind != Kind.NETWORK:
            return None
        runs_promoted = engine.detail.get("file") == network_file(self._folder, promotion.name).name
        runs_shipped = promotion.name == Kind.NETWORK.shipped_name and engine.name == promotion.name
        return promotion.figures if runs_promoted or runs_shipped else None

    def look(self) -> None:
        """Take over what was promoted or rolled back since the last look."""
        version = self._promotions.version
        if version == self._version:
            return
        self._version = version
        self._promotion = self._in_force()
        try:
            if self._engines.take_over_promoted():
                _log.info("the engine %s goes on with what was promoted", self._engines.chosen)
            self.refusal = None
        except EngineError as error:
            self.refusal = f"What was promoted is not taken over: {error}"
            _log.warning(self.refusal)

    async def keep(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(self.look)

    def _in_force(self) -> Promotion | None:
        try:
            return self._promotions.in_force(Kind.NETWORK)
        except EngineError:  # whoever opens an engine is told
            return None
