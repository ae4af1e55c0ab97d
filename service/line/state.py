"""The states of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from qpi_live.camera.words import Word


class State(Word):
    """What the pipeline is doing, in one word for programs."""

    STARTING = "starting", "the engine is warming up"
    LIVE = "live", "frames come and phases go out"
    WAITING = "waiting", "the camera is there, no frame comes"
    FAILING = "failing", "frames come, and the engine can use none of them"
    RECONNECTING = "reconnecting", "the camera was lost and is looked for"
    ENDED = "ended", "a recording that does not loop is over"
    FAILED = "failed", "it cannot go on by itself"
    STOPPED = "stopped", "it was stopped"

    @property
    def is_ready(self) -> bool:
        """Whether the camera and the engine are there, so that frames can be expected."""
        return self in (State.LIVE, State.WAITING, State.ENDED)


@dataclass(frozen=True, slots=True)
class PipelineState:
    """What the pipeline is doing, in one word for programs and one sentence for people."""

    name: State
    sentence: str
