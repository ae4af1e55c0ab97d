"""What `/metrics` says, as instruments of OpenTelemetry: one source for both, under the same names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from prometheus_client.core import Metric
from qpi_live.service.line.latency import BUCKETS_S
from qpi_live.service.stations import Stations

_FRESH_S = 0.5  # instruments that are read one after the other share a look at the registry
_OURS = "qpi_"


class RegistryMetrics:
    """Passes on the counters and gauges of a service's registry.

    Some come up late, with the first frame: `look` makes instruments of those that are new.

    Args:
        stations: whose registry.
        meter: where instruments are made.
    """

    def __init__(self, stations: Stations, meter: Meter) -> None:
        self._registry, self._meter = stations.registry, meter
        self._known: set[str] = set()
        self._read_at, self._families = 0.0, dict[str, Metric]()

    def durations(self) -> Histogram:
        """Takes the time of each stage of each frame, in s."""
        what = "Time a stage took for one frame."
        return self._meter.create_histogram(
            "qpi_stage_seconds", "s", what, explicit_bucket_boundaries_advisory=BUCKETS_S
        )

    def look(self) -> None:
        """Make an instrument of each counter and gauge that has none yet. One caller at a time."""
        for name, family in self._read().items():
            if name in self._known:
                continue
            self._known.add(name)
            make = {"counter": self._meter.create_observable_counter, "gauge": self._meter.create_observable_gauge}
            if family.type in make:
                make[family.type](name, [self._observer(name)], "", family.documentation)

    def _observer(self, name: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
        return partial(self._observe, name)

    def _observe(self, name: str, _: CallbackOptions) -> Iterator[Observation]:
        family = self._read().get(name)
        for sample in family.samples if family else ():
            if not sample.name.endswith("_created"):
                yield Observation(float(sample.value), dict(sample.labels))

    def _read(self) -> dict[str, Metric]:
        now = monotonic()
        if now - self._read_at > _FRESH_S:
            ours = (family for family in self._registry.collect() if family.name.startswith(_OURS))
            self._families, self._read_at = {family.name: family for family in ours}, now
        return self._families
