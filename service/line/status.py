"""What the line is doing, as the stream's clients are told: at the start, and whenever it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qpi_live.camera.source import CameraIdentity
from qpi_live.service.line.pipeline import Pipeline
from qpi_live.service.line.state import State
from qpi_live.service.wire import StreamStatus

_POLL_S = 0.2


class StatusBoard:
    """Watches the line for everyone; belongs to one event loop.

    Args:
        pipeline: the line.
        camera: who takes the frames now.
    """

    def __init__(self, pipeline: Pipeline, camera: Callable[[], CameraIdentity]) -> None:
        self._pipeline = pipeline
        self._camera = camera
        self._epoch = 1
        self._source = camera().source
        self._was_lost = False
        self._watchers: set[asyncio.Event] = set()

    def look(self) -> StreamStatus:
        """The status at this moment."""
        state, source = self._pipeline.state, self._camera().source
        is_back = self._was_lost and state.name is State.LIVE
        if is_back or source != self._source:
            self._epoch += 1
        self._source = source
        self._was_lost = state.name is State.RECONNECTING or (self._was_lost and state.name is not State.LIVE)
        return StreamStatus(
            state=state.name,
            sentence=state.sentence,
            epoch=self._epoch,
            engine=self._pipeline.engine.identity.name,
            camera=source,
        )

    @contextmanager
    def watched(self, changed: asyncio.Event) -> Iterator[None]:
        """Set `changed` whenever the status has changed."""
        self._watchers.add(changed)
        try:
            yield
        finally:
            self._watchers.discard(changed)

    async def keep(self) -> None:
        """Watch until cancelled."""
        before = self.look()
        while True:
            await asyncio.sleep(_POLL_S)
            now = self.look()
            if now != before:
                for changed in self._watchers:
                    changed.set()
            before = now
