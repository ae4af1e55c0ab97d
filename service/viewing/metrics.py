"""The accounts and rates in Prometheus form, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from qpi_live.camera.account import AccountSnapshot
from qpi_live.models.phase_frame import FringeState, PhaseQuality
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.viewing.audience import Audience
from qpi_live.service.viewing.baseline import Baseline


class StationCollector(Collector):
    """Yields the station's metrics; the stages' histograms are `LatencyBook`'s."""

    def __init__(self, pipeline: Pipeline, audience: Audience, baseline: Baseline | None) -> None:
        self._pipeline = pipeline
        self._audience = audience
        self._baseline = baseline

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`."""
        yield GaugeMetricFamily("qpi_ready", "1 while frames can be expected.", self._pipeline.is_ready)
        yield CounterMetricFamily("qpi_camera_reconnects", "Times a lost camera came back.", self._pipeline.reconnects)
        yield from _account("qpi", "of the camera", self._pipeline.account.snapshot())
        yield from _account("qpi_stream", "offered to the stream's clients", self._audience.total())
        yield GaugeMetricFamily("qpi_stream_clients", "Clients of the stream.", len(self._audience.present()))
        ended = CounterMetricFamily("qpi_stream_ended", "Clients that are gone, by why.", labels=["reason"])
        for reason, connections in self._audience.departed()[0].items():
            ended.add_metric([reason], connections)
        yield ended
        newest = self._pipeline.hub.latest
        if newest is not None:
            yield from _fringes(newest.phase.quality)
        if self._baseline is not None:
            yield from _account("qpi_baseline", "offered to the baseline", self._baseline.account)
            rms_rad = self._baseline.agreement.rms_rad
            if rms_rad is not None:
                yield GaugeMetricFamily("qpi_baseline_rms_radians", "Difference from the baseline.", rms_rad)
            drift = self._baseline.drift
            if drift is not None:
                what = "1 while the network differs from the classical phase by more than its gate saw."
                yield GaugeMetricFamily("qpi_drifting", what, drift.is_drifting)


def _fringes(quality: PhaseQuality) -> Iterator[Metric]:
    """Of the newest frame; an engine that does not look at fringes has none."""
    for name, what, value in (
        ("qpi_bright_cut_links", "Links between bright pixels that branch cuts block.", quality.bright_cut_links),
        ("qpi_carrier_strength", "The carrier's peak over its surroundings.", quality.carrier_strength),
        ("qpi_fringe_contrast", "Contrast of the fringes, 0 to 1.", quality.fringe_contrast),
        ("qpi_saturated_share", "Share of saturated pixels, 0 to 1.", quality.saturated_share),
        ("qpi_background_doubt_radians", "How far off the background may be.", quality.background_doubt_rad),
    ):
        if value is not None:
            yield GaugeMetricFamily(name, what, value)
    if quality.fringes is not None:
        state = GaugeMetricFamily("qpi_fringes", "1 for what the fringes are like.", labels=["state"])
        for each in FringeState:
            state.add_metric([each], each is quality.fringes)
        yield state


def _account(prefix: str, whose: str, account: AccountSnapshot) -> Iterator[Metric]:
    yield CounterMetricFamily(f"{prefix}_frames_captured", f"Frames {whose}.", account.captured)
    yield CounterMetricFamily(f"{prefix}_frames_delivered", f"Frames {whose} that arrived.", account.delivered)
    yield GaugeMetricFamily(f"{prefix}_frames_in_flight", f"Frames {whose} on their way.", account.in_flight)
    for fate, by_reason in (("dropped", account.dropped), ("failed", account.failed)):
        frames = CounterMetricFamily(f"{prefix}_frames_{fate}", f"Frames {whose} {fate}, by reason.", labels=["reason"])
        for reason, number in by_reason.items():
            frames.add_metric([reason], number)
        yield frames
