"""One phase frame on its way out: the layers it can be shown as, each rendered once for all who want it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Lock
from time import monotonic_ns
from typing import TypeVar, cast

from qpi_live.camera.frame import Frame
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.phase_frame import PhaseFrame

Rendered = TypeVar("Rendered")

_MOST_RENDERED = 16  # views of one frame; a frame that stands still is looked at in ever new ways


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """A phase frame with what the stream knows of it.

    Attributes:
        phase: what the engine made of the frame.
        camera: who took the frame, with the settings that were in force for this very frame.
        stages_ms: `queue_wait`, the engine's own stages, `retrieval` (all of them) and `total`, from the frame's
            capture to its publication, in ms.
        published_monotonic_ns: when it was published.
    """

    phase: PhaseFrame
    camera: CameraIdentity
    stages_ms: dict[str, float]
    published_monotonic_ns: int = field(default_factory=monotonic_ns)
    _rendered: dict[Hashable, Future[object]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def timed(cls, phase: PhaseFrame, camera: CameraIdentity, taken_ns: int) -> LiveFrame:
        """The frame that an engine has just made from what it took at `taken_ns` of the monotonic clock."""
        done_ns, captured_ns = monotonic_ns(), phase.frame.captured_monotonic_ns
        stages_ms = {
            "queue_wait": (taken_ns - captured_ns) / 1e6,
            **phase.stages_ms,
            "retrieval": (done_ns - taken_ns) / 1e6,
            "total": (done_ns - captured_ns) / 1e6,
        }
        settings = phase.frame.settings
        return cls(phase, camera if settings is None else replace(camera, settings=settings), stages_ms)

    @property
    def nbytes(self) -> int:
        """Bytes of its phase and of the interferogram."""
        return int(self.phase.phase_rad.nbytes) + self.frame.nbytes

    @property
    def sequence(self) -> int:
        """Of the frame."""
        return self.frame.sequence

    @property
    def frame(self) -> Frame:
        """The interferogram."""
        return self.phase.frame

    def share(self, key: Hashable, begin: Callable[[], Future[Rendered]]) -> Future[Rendered]:
        """What the first call's `begin()` started, for every call with this key; `begin` must not block.

        Only the newest `_MOST_RENDERED` are kept.
        """
        with self._lock:
            shared = self._rendered.get(key)
            if shared is None:
                started = begin()
                while len(self._rendered) >= _MOST_RENDERED:
                    del self._rendered[next(iter(self._rendered))]
                shared = self._rendered[key] = cast(Future[object], started)
            return cast(Future[Rendered], shared)

    def is_shared(self, key: Hashable) -> bool:
        """Whether what goes by this key was begun, and is kept."""
        return key in self._rendered

    def once(self, key: Hashable, render: Callable[[], Rendered]) -> Rendered:
        """What `render()` returns, computed in the first caller's thread and shared with later ones, who wait."""
        mine: Future[Rendered] = Future()
        rendering = self.share(key, lambda: mine)
        # Outside of the lock: who wants another rendering of this frame need not wait for this one.
        if rendering is mine:
            try:
                mine.set_result(render())
            except BaseException as error:
                mine.set_exception(error)
                raise
        failure = rendering.exception()
        if failure is not None:
            raise failure.with_traceback(None)  # each further raise would else add to one ever longer traceback
        return rendering.result()
