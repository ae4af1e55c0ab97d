"""The line's status, sent to the stream's clients at the start and at every change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qpi_live.camera.source import CameraIdentity
from qpi_live.service.line.pipeline import Pipeline
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
        self._watchers: set[asyncio.Event] = set()

    def look(self) -> StreamStatus:
        """The status at this moment."""
        state = self._pipeline.state
        return StreamStatus(
            state=state.name,
            sentence=state.sentence,
            epoch=self._pipeline.epoch,
            engine=self._pipeline.engine.identity.name,
            camera=self._camera().source,
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
