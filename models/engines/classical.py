"""The classical engine: Takeda's retrieval, Goldstein's unwrapping, and the instrument's own phase taken off."""

from __future__ import annotations

from qpi_live.models.classical.aberration import Background
from qpi_live.models.classical.chain import Chain, HostChain
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.engines.off_axis import OffAxisEngine


class ClassicalEngine(OffAxisEngine):
    """`OffAxisEngine` on the host's cores."""

    _name_and_device = ("goldstein", "cpu")

    def _lay_chain(self, retriever: TakedaRetriever, background: Background) -> Chain:
        return HostChain(retriever, background, self._options.threads)
