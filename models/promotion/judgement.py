"""From a network's name to a promotion: what it is judged on, the verdict, and putting it in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.network_card import NetworkCard
from qpi_live.models.artifacts.promotions import Figures, Promotion, PromotionError, now
from qpi_live.models.promotion.gate import Examination, Gate, why_refused
from qpi_live.models.promotion.registry import Entry, Registry

_EXAMPLE = Path(str(files("qpi_live.camera") / "data" / "glioblastoma.json"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of the gate.

    Attributes:
        network: that was judged.
        before: the network in force.
        promotion: that put it in force; None for one that ships.
        figures: of the network.
        before_figures: of the one in force on the same frames; None where it does not take them.
        classical_db: the classical chain's PSNR on the simulated ones, by condition.
        refusal: in what the network is worse, in a sentence; None if in nothing.
    """

    network: Entry
    before: Entry
    promotion: Promotion | None
    figures: Figures
    before_figures: Figures | None
    classical_db: dict[str, float]
    refusal: str | None

    @property
    def remark(self) -> str | None:
        """What a user should know beside the verdict, in a sentence."""
        if self.before_figures is None:
            return f"{self.before.name}, which is in force, does not take these frames: there was nothing to compare."
        lost = [
            f"{condition} {chain_db:.1f} dB instead of {self.figures.psnr_db[condition]:.1f}"
            for condition, chain_db in self.classical_db.items()
            if not self.figures.psnr_db[condition] >= chain_db
        ]
        return f"The classical chain is better on some of these frames: {', '.join(lost)}." if lost else None


def instrument_for(network: Entry, given: Path | None) -> Instrument:
    """The instrument whose simulated frames a network is judged on: the one given, or its card's.

    A background serves every instrument, and is judged on the bundled one's.

    Raises:
        ValueError: the file is no instrument, or the card names none.
    """
    if given is not None:
        return Instrument.from_file(given)
    if not isinstance(network.card, NetworkCard):
        return Instrument.from_file(_EXAMPLE)
    if network.card.instrument is None:
        raise ValueError(f"expected the card of {network.name} to name an instrument, got none; give --instrument FILE")
    return network.card.instrument


def judge(
    registry: Registry, network: Entry, examination: Examination, on_frame: Callable[[], None] = lambda: None
) -> Verdict:
    """Measure `network` and the one in force on the same frames.

    Raises:
        ValueError: the network does not take these frames.
        EngineUnavailable: one cannot be opened.
    """
    promotion = registry.promotions.in_force(network.kind)
    before = registry.in_force(network.kind)
    gate = Gate(examination, on_frame)
    refusal = gate.why_not(network)
    if refusal is not None:
        raise ValueError(f"{network.name}: {refusal}")
    rivals = [network] if gate.why_not(before) else [network, before]
    figures, *others = gate.figures(rivals)
    before_figures = others[0] if others else None
    worse = None if before_figures is None else why_refused(network.name, figures, before.name, before_figures)
    return Verdict(network, before, promotion, figures, before_figures, gate.classical_db(), worse)


def steps_of(examination: Examination) -> int:
    """How often `judge` calls `on_frame`, at most."""
    return len(examination.compared) + 3 * len(examination.simulated)


def put_in_force(registry: Registry, verdict: Verdict, *, is_forced: bool = False) -> Promotion:
    """Promote the network that was judged.

    Raises:
        PromotionError: it was refused and is not forced, or another one is in force by now.
        OSError: the folder cannot be written to.
    """
    network = verdict.network
    if verdict.refusal is not None and not is_forced:
        raise PromotionError(f"{verdict.refusal}; nothing has changed, --force promotes it all the same")
    promotion = Promotion(
        name=network.name,
        sha256=network.sha256,
        promoted_at=now(),
        over=verdict.before.name,
        figures=verdict.figures,
        forced_against=verdict.refusal,
    )
    registry.promotions.promote(network.kind, promotion, verdict.promotion)
    return promotion
