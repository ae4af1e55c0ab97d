"""The lines of one service: one for each camera that runs at once, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from qpi_live.service.settings import Settings
from qpi_live.service.station import Station


class UnknownCamera(Exception):
    """No line of that name; the text says which there are."""


class Stations:
    """Lines beside one another, each with its own camera, engine, account and audience. They share nothing per frame.

    Args:
        stations: one or more; the first is meant where none is named.

    Attributes:
        names: of the lines, in order; see `names_of`.
    """

    def __init__(self, stations: Sequence[Station]) -> None:
        self.names = names_of([station.sources[0] for station in stations])
        self._by_name = dict(zip(self.names, stations, strict=True))

    @property
    def all(self) -> tuple[Station, ...]:
        """The lines, in order."""
        return tuple(self._by_name.values())

    @property
    def first(self) -> Station:
        """The line that is meant where none is named."""
        return self.all[0]

    @property
    def settings(self) -> Settings:
        """What the person set; of the first line, where it speaks of cameras."""
        return self.first.settings

    def at(self, name: str | None) -> Station:
        """The line of this name; None: the first.

        Raises:
            UnknownCamera: there is none of that name.
        """
        if not name:
            return self.first
        if name not in self._by_name:
            raise UnknownCamera(f"expected a camera among {', '.join(self.names)}, got {name!r}")
        return self._by_name[name]

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics; of several lines, each with the label `camera`."""
        if len(self.all) == 1:
            return self.first.registry
        registry = CollectorRegistry()
        registry.register(_Labelled(self._by_name))
        return registry

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all lines inside a running event loop; at the end everything has been let go of."""
        async with AsyncExitStack() as stack:
            for station in self.all:
                await stack.enter_async_context(station.running())
            yield


def names_of(sources: Sequence[str]) -> tuple[str, ...]:
    """Short names of cameras, all different: a serial number, a file's name, or else the kind."""
    names: list[str] = []
    for source in sources:
        kind, _, address = source.partition(":")
        base = (address.rpartition("#")[2] if "#" in address else Path(address).stem) or kind
        number = sum(name == base or name.startswith(f"{base}-") for name in names)
        names.append(base if base not in names else f"{base}-{number + 1}")
    return tuple(names)


class _Labelled(Collector):
    """The metrics of several lines as one, each sample with its line's name; the process's own come once."""

    def __init__(self, stations: dict[str, Station]) -> None:
        self._stations = stations

    def collect(self) -> list[Metric]:
        """See `prometheus_client`."""
        merged: dict[str, Metric] = {}
        for name, station in self._stations.items():
            for metric in station.registry.collect():
                is_own = metric.name.startswith("qpi")
                if metric.name in merged and not is_own:
                    continue
                family = merged.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type, metric.unit)
                )
                for sample in metric.samples:
                    labels = {**sample.labels, "camera": name} if is_own else sample.labels
                    family.samples.append(sample._replace(labels=labels))
        return list(merged.values())
