"""The classical engine: Takeda's retrieval, Goldstein's unwrapping, and the instrument's own phase taken off."""

from __future__ import annotations

from models.classical.background import BackgroundFit
from models.classical.chain import Chain, HostChain
from models.classical.takeda import TakedaRetriever
from models.engines.off_axis import OffAxisEngine


class ClassicalEngine(OffAxisEngine):
    """`OffAxisEngine` on the host's cores."""

    _name_and_device = ("goldstein", "cpu")

    def _lay_chain(self, retriever: TakedaRetriever, background: BackgroundFit) -> Chain:
        return HostChain(retriever, background, self._options.threads)
