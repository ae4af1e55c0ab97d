"""The engine of a running service, for `qpi engine`."""

from __future__ import annotations

from qpi_live.service.api.schemas import EngineAnswer
from qpi_live.service.client import PhaseClient
from rich.markup import escape
from rich.table import Table


def ask_engine(url: str, name: str, token: str | None = None) -> tuple[str, Table]:
    """Switch the service at `url` to the engine called `name`, unless that is empty; what it says, as a table.

    Raises:
        ServiceError: it cannot be reached, or refuses.
    """
    with PhaseClient(url, token=token) as client:
        answer = client.use_engine(name) if name else client.engine()
    return _sentence(answer), _table(answer)


def _sentence(answer: EngineAnswer) -> str:
    engine = answer.engine
    why = f", since {engine.detail['chosen']}" if "chosen" in engine.detail else ""
    doubt = f" Not to be trusted: {answer.doubt}" if answer.doubt else ""
    return f"{engine.name} on {engine.device} makes the phase{why}.{doubt}"


def _table(answer: EngineAnswer) -> Table:
    table = Table("engine", "here", "suits the stream", "remark", title_justify="left")
    for offer in answer.engines:
        mark = "[bold]*[/] " if offer.name == answer.chosen else "  "
        suits = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[offer.trusted]
        here = "[green]yes[/]" if offer.opens else "[yellow]no[/]"
        table.add_row(mark + escape(offer.name), here, suits, escape(offer.why_not or offer.doubt or ""))
    return table
