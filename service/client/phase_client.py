"""A connection to one service."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import cached_property
from importlib import import_module
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from qpi_live.service.client.camera import CameraControl
from qpi_live.service.client.measuring import Measuring
from qpi_live.service.client.recordings import RecordingControl
from qpi_live.service.view import Dtype, Layer, Masked

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qpi_live.models.analysis.regions import Region
    from qpi_live.service.api.schemas import Comparison, EngineAnswer, Stats
    from qpi_live.service.client.received import ReceivedFrame
    from qpi_live.service.client.rest import Rest
    from qpi_live.service.client.subscription import Subscription
    from qpi_live.service.wire import StreamStatus

_STREAM = "/api/v1/stream"


class PhaseClient:
    """A connection to one service; a context manager.

        with PhaseClient("http://127.0.0.1:8000") as client:
            for frame in client.frames():
                print(frame.sequence, frame.captured, frame.values.mean(), frame.unit)

    Args:
        url: the page's address; the link that `qpi serve` prints, with its token, will do.
        timeout_s: how long an answer may take.
        token: the service's token, where it has one and `url` does not say it.
        camera: which camera, where several run at once (see `cameras`); None: the one in `url`, or else the first.

    Attributes:
        status: the line's, as the stream said it last; None before.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        timeout_s: float = 30.0,
        token: str | None = None,
        camera: str | None = None,
    ) -> None:
        address, _, query = url.partition("?")
        self.url = address.rstrip("/")
        said = dict(parse_qsl(query))
        token = token or said.get("token")
        self._camera_name = camera or said.get("camera")
        # Headers are Latin-1 to those who write them; the token's own bytes are UTF-8.
        self._headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")} if token else {}
        self.status: StreamStatus | None = None
        self._timeout_s = timeout_s
        self._stream_url = "ws" + self.url.removeprefix("http") + _STREAM

    def __enter__(self) -> PhaseClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Doing it twice is harmless."""
        if "_rest" in self.__dict__:
            self._rest.close()

    @cached_property
    def _rest(self) -> Rest:
        # On demand: a program that only reads frames does without an HTTP client.
        rest: Rest = import_module("qpi_live.service.client.rest").Rest(
            self.url, self._timeout_s, self._headers, self._camera_name
        )
        return rest

    def cameras(self) -> list[dict[str, Any]]:
        """The cameras that run at once, each with its `name`, which `PhaseClient(camera=…)` takes, and its state."""
        return list(self._rest.ask("GET", "/cameras").json())

    @cached_property
    def recordings(self) -> RecordingControl:
        """Recordings: those that are made now and those on the service's disk."""
        return RecordingControl(self._rest)

    def record(self, name: str = "", **wanted: Any) -> dict[str, Any]:
        """Record on the service's disk: every frame from now on, until it is stopped or a limit is reached.

        Args:
            name: of the recording; the time where none is given.
            wanted: `frames`, `seconds`, `megabytes` (limits), `every_s` (time-lapse), `before_trigger_s`,
                `layers` ("interferogram", "phase"), `format` ("ome-tiff", "ome-zarr"), `file_mb`.

        Raises:
            ServiceError: the name is taken, the disk is full, or see `ServiceError`.
        """
        return self.recordings.start(name, **wanted)

    @cached_property
    def camera(self) -> CameraControl:
        """The camera: its source, features, exposure, start and stop."""
        return CameraControl(self._rest)

    @cached_property
    def measuring(self) -> Measuring:
        """Cells and regions: tables, histories, what is measured."""
        return Measuring(self._rest)

    def cells(self, outlines: bool = False) -> dict[str, Any]:
        """The cells of the newest frame; see `Measuring.cells`.

        Raises:
            ServiceError: there is no frame yet, or see `ServiceError`.
        """
        return self.measuring.cells(outlines)

    @property
    def regions(self) -> list[dict[str, Any]]:
        """The regions of the camera; set it to draw others. Their figures: `measuring.regions()`."""
        return list(self.measuring.regions()["regions"])

    @regions.setter
    def regions(self, drawn: Iterable[Region | dict[str, Any]]) -> None:
        self.measuring.draw(drawn)

    def is_ready(self) -> bool:
        """Whether frames can be expected; False where nobody answers."""
        return self._rest.is_ready()

    def frames(
        self,
        layer: Layer | str = Layer.PHASE,
        dtype: Dtype = "float32",
        max_fps: float = 0.0,
        downscale: int = 1,
        reconnect: bool = False,
        wait_s: float | None = None,
        on_status: Callable[[StreamStatus], None] | None = None,
        stop: Event | None = None,
    ) -> Generator[ReceivedFrame]:
        """Live frames: each is the newest at the moment at which this program asks for it.

        However long the program takes over a frame, the next one is at most one frame period and its own way old. The
        iteration ends when the service is stopped in order.

        Args:
            layer: see `Layer`.
            dtype: `float32` for exact values, `uint8` for previews.
            max_fps: frames per second at most; 0: all that there are.
            downscale: edge of the pixel blocks that are averaged into one.
            reconnect: go on when the service goes away and comes back, for whatever reason, and begin when it is there.
            wait_s: how long a frame may be in coming, in s; None: for ever.
            on_status: called with the line's status, at the start and whenever it changes.
            stop: ends the iteration within a moment when another thread sets it, while a frame is waited for too.

        Raises:
            ServiceError: the service cannot be reached or refuses; the layer is not there; the connection was cut; or
                no frame came within `wait_s`; with `reconnect` only where the request itself is refused.
        """

        def note(status: StreamStatus) -> None:
            self.status = status
            if on_status is not None:
                on_status(status)

        choice = {"layer": layer, "dtype": dtype, "max_fps": max_fps, "downscale": downscale, "credit": "true"}
        if self._camera_name:
            choice["camera"] = self._camera_name

        def address() -> str:
            return f"{self._stream_url}?{urlencode(choice)}"

        # On demand, as above: a program that only asks over REST does without WebSockets.
        stream: Subscription = import_module("qpi_live.service.client.subscription").Subscription(
            address, self.url, self._timeout_s, wait_s, reconnect, note, self._headers, stop or Event()
        )
        return stream.frames()

    def latest(self, layer: Layer | str = Layer.PHASE, downscale: int = 1, masked: Masked = "kept") -> ReceivedFrame:
        """The newest frame, exact; with `masked="nan"` the phase is NaN where the fringes are too weak for one.

        Raises:
            ServiceError: there is none yet, or see `ServiceError`.
        """
        return self._rest.latest(layer, downscale, masked)

    def phase(
        self,
        interferogram: NDArray[Any],
        engine: str | None = None,
        bit_depth: int | None = None,
        masked: Masked = "kept",
        mask: NDArray[Any] | None = None,
        calibration: NDArray[Any] | None = None,
    ) -> ReceivedFrame:
        """The unwrapped phase in rad of an (H, W) interferogram of real grey values; `masked` as in `latest`.

        Args:
            interferogram: NaN and infinity are masked.
            engine: its name; None: the live engine.
            bit_depth: significant bits of a grey value; None: the least that hold them.
            masked: `nan` for NaN where there is no phase.
            mask: (H, W), nonzero on pixels to leave out.
            calibration: (H, W), a sample-free interferogram to divide out.

        Raises:
            ServiceError: it cannot be inverted, or see `ServiceError`.
        """
        return self._rest.phase(interferogram, engine, bit_depth, masked, mask, calibration)

    def compare(self, a: str, b: str, interferogram: NDArray[Any] | None = None) -> Comparison:
        """How far two engines agree on an (H, W) interferogram, or on the newest live frame.

        Raises:
            ServiceError: see `ServiceError`.
        """
        return self._rest.compare(a, b, interferogram)

    def stats(self) -> Stats:
        """Everything about the stream at this moment.

        Raises:
            ServiceError: see `ServiceError`.
        """
        return self._rest.stats()

    def engine(self) -> EngineAnswer:
        """The engine, the engines it can be switched to, and what can be tuned.

        Raises:
            ServiceError: see `ServiceError`.
        """
        return self._rest.engine()

    def use_engine(self, name: str) -> EngineAnswer:
        """Let another engine make the phase; returns once it is warm and in use.

        Raises:
            ServiceError: it cannot be opened there or does not take these frames, or see `ServiceError`.
        """
        return self._rest.use_engine(name)
