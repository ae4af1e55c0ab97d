"""Which engines the live stream can have here, which it has, and the change from one to another while frames flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from qpi_live.camera.frame import Frame
from qpi_live.models.engine import (
    CHOSEN,
    LEARNED,
    EngineOptions,
    PhaseEngine,
    TrainedEngine,
    TrainedFor,
    engine_names,
    open_engine,
)
from qpi_live.models.errors import EngineError, EngineUnavailable
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.tuning import Tuning

_Layout = tuple[tuple[int, int], int]
_Networks = tuple[Path | str | None, Path | str | None]  # for phase and for the background: promoted, or why not
_AUTO, _NETWORK, _FUSED = "auto", "nasprnet", "fused"


@dataclass(frozen=True, slots=True)
class Offer:
    """An engine that can be asked for by name.

    Attributes:
        name: what to ask for.
        opens: whether it can be opened here; `why_not` says why it cannot.
        trusted: whether it suits the stream's frames; None where that is not known (it cannot be opened, no frame has
            come yet). `doubt` says why it is not to be trusted.
    """

    name: str
    opens: bool
    why_not: str | None = None
    trusted: bool | None = None
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What opening an engine once has shown: why it cannot be opened here, and what it was trained for."""

    why_not: str | None = None
    trained_for: TrainedFor | None = None


class Engines:
    """The engines of one live stream. Safe to use from any thread.

    Args:
        started_with: the name or file of the engine that runs.
        running: that engine.
        opened_with: what it was asked for.
        options: what a further engine is asked for.
        layout: (H, W) and bit depth of the camera's frames now.
        tuning: hands the stream over, with the adjustments in force.
        is_hung: whether the engine that runs does not come back from a frame.
        on_change: called after each change.
    """

    def __init__(
        self,
        started_with: str,
        running: PhaseEngine,
        opened_with: EngineOptions,
        options: Callable[[], EngineOptions],
        layout: Callable[[], _Layout],
        tuning: Tuning,
        is_hung: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        # What comes over the network must not name files: the one that the service was started with goes by its name.
        self._file = started_with if started_with not in engine_names() else None
        self._chosen = self._public_name(started_with)
        self._options = options
        self._layout = layout
        self._tuning = tuning
        self._is_hung = is_hung
        self._on_change = on_change
        self._changing = Lock()
        self._looking = Lock()
        self._known = {self._chosen: _known_of(running)}
        self._networks = _networks(opened_with)
        self._doubts: dict[tuple[object, ...], str | None] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The engines that can be asked for: by name, and the file that the service was started with."""
        own = () if self._file is None else (self._public_name(self._file),)
        return (*own, *engine_names())

    @property
    def chosen(self) -> str:
        """What was asked for last; `auto` chooses by itself which engine that is."""
        return self._chosen

    def choose(self, name: str) -> None:
        """Let the engine called `name` make the phase from the next frame on. It warms up first, beside the pipeline.

        Changes that are asked for at once are done one after the other. One that hangs is left behind, also where the
        same one is asked for again.

        Raises:
            EngineUnavailable: no such engine, it cannot be opened here, or it does not take these frames; the stream
                goes on as before then.
        """
        if name not in self.names:
            raise EngineUnavailable(f"expected an engine among {', '.join(self.names)}, got {name!r}")
        with self._changing:
            if name == self._chosen and not self._is_hung():
                return
            self._change_to(name)

    def take_over_promoted(self) -> bool:
        """Open the present engine anew if it uses a network and another one was promoted; whether it did.

        Raises:
            EngineUnavailable: that one is missing or does not take these frames; the stream goes on as before.
        """
        with self._changing:
            networks = _networks(self._options())
            if networks == self._networks:
                return False
            before, self._networks = self._networks, networks  # one that is refused is not tried again and again
            self._known.clear()
            self._doubts.clear()
            if not _uses(self._chosen, self._options().background, before, networks):
                return False
            self._change_to(self._chosen)
            return True

    def _change_to(self, name: str) -> None:
        engine = self._opened(name)
        try:
            self._warm_up(engine)
            self._tuning.hand_over_to(engine)
        except BaseException:
            engine.close()
            raise
        self._chosen = name
        self._on_change()

    def offers(self, newest: LiveFrame | None) -> list[Offer]:
        """All engines, and what can be said of each for a stream with this newest frame.

        The first call opens each of them once, which takes a second or so.
        """
        with self._looking:
            return [self._offer(name, newest.frame if newest else None) for name in self.names]

    def _offer(self, name: str, frame: Frame | None) -> Offer:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._look_at(name)
        if known.why_not is not None:
            return Offer(name, False, known.why_not)
        if frame is None:
            return Offer(name, True)
        doubt = None if known.trained_for is None else self._doubt(name, known.trained_for, frame)
        return Offer(name, True, None, doubt is None, doubt)

    def _doubt(self, name: str, trained_for: TrainedFor, frame: Frame) -> str | None:
        stream = (frame.source, frame.shape, frame.bit_depth)
        key = (name, *stream)
        if key not in self._doubts:
            self._doubts = {known: doubt for known, doubt in self._doubts.items() if known[1:] == stream}
            self._doubts[key] = trained_for.why_not(frame.shape, frame.bit_depth) or trained_for.mismatch(frame)
        return self._doubts[key]

    def _look_at(self, name: str) -> _Known:
        try:
            engine = self._opened(name)
        except EngineError as error:
            return _Known(str(error))
        try:
            return _known_of(engine)
        finally:
            engine.close()

    def _opened(self, name: str) -> PhaseEngine:
        is_file = self._file is not None and name == self._public_name(self._file)
        if is_file and self._file is not None:
            return open_engine(self._file, self._options(), may_be_file=True)
        return open_engine(name, self._options())

    def _warm_up(self, engine: PhaseEngine) -> None:
        warm: _Layout | None = None
        while (layout := self._layout()) != warm:  # the camera may change while the engine warms up
            try:
                engine.warm_up(*layout)
            except EngineError as error:
                raise EngineUnavailable(str(error)) from error
            warm = layout

    @staticmethod
    def _public_name(name: str) -> str:
        return name if name in engine_names() else Path(name).name


def _networks(options: EngineOptions) -> _Networks:
    return options.network or options.network_refusal or None, options.learned or options.learned_refusal or None


def _uses(name: str, background: str, before: _Networks, now: _Networks) -> bool:
    """Whether the engine called `name` uses one of the networks that changed."""
    uses_learned = name == _FUSED or (background in (CHOSEN, LEARNED) and name != _NETWORK)
    return (before[0] != now[0] and name in (_NETWORK, _FUSED, _AUTO)) or (before[1] != now[1] and uses_learned)


def _known_of(engine: PhaseEngine) -> _Known:
    return _Known(trained_for=engine.network if isinstance(engine, TrainedEngine) else None)
