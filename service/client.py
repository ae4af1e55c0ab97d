"""A Python client of the service: NumPy arrays with units and times."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from time import sleep
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
from numpy.typing import NDArray
from qpi_live.service.api.schemas import Comparison, EngineAnswer, Stats
from qpi_live.service.view import Dtype, Layer
from qpi_live.service.wire import FrameHeader, unpack
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import connect

_API = "/api/v1"
_LARGEST_MESSAGE = 1 << 30
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0


class ServiceError(RuntimeError):
    """The service refused a request or cannot be reached; the text is its own sentence. `status` is None then."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedFrame:
    """One frame as it came from the service.

    Attributes:
        header: everything that is known of it.
        payload: (H, W) as sent, read-only: float32 for exact phase in rad, uint8 or uint16 for an exact interferogram,
            uint8 for a preview.
    """

    header: FrameHeader
    payload: NDArray[Any]

    @property
    def sequence(self) -> int:
        """The stream's count of frames read from the camera."""
        return self.header.sequence

    @property
    def unit(self) -> str:
        """The unit of `values`: `rad` or `grey value`."""
        return self.header.unit

    @property
    def values(self) -> NDArray[Any]:
        """(H, W) in `unit`: the payload itself where it is exact, float32 from scale and offset for a preview."""
        scale, offset = self.header.scale, self.header.offset
        if (scale, offset) == (1.0, 0.0):
            return self.payload
        values: NDArray[np.float32] = self.payload * np.float32(scale) + np.float32(offset)
        return values

    @property
    def captured(self) -> datetime:
        """When the frame reached the service, UTC, to the microsecond; `header.captured_ns` is exact."""
        seconds, rest_ns = divmod(self.header.captured_ns, 10**9)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1000)

    def opd_m(self) -> NDArray[np.float32]:
        """(H, W) float32 optical path difference φ·λ/2π in metres.

        Raises:
            ValueError: the values are no phase, or the wavelength is not known.
        """
        if self.unit != "rad" or self.header.wavelength_m is None:
            raise ValueError(f"expected phase and a known wavelength, got {self.unit} and {self.header.wavelength_m}")
        opd: NDArray[np.float32] = (self.values * (self.header.wavelength_m / (2 * np.pi))).astype(np.float32)
        return opd


class PhaseClient:
    """A connection to one service; a context manager.

        with PhaseClient("http://127.0.0.1:8000") as client:
            for frame in client.frames():
                print(frame.sequence, frame.captured, frame.values.mean(), frame.unit)

    Args:
        url: the page's address.
        timeout_s: how long an answer may take.
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self.url = url.rstrip("/")
        # Neither takes a proxy from the environment: the microscope is on this machine or in this room.
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)
        self._stream_url = "ws" + self.url.removeprefix("http") + f"{_API}/stream"

    def __enter__(self) -> PhaseClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Doing it twice is harmless."""
        self._http.close()

    def is_ready(self) -> bool:
        """Whether frames can be expected; False where nobody answers."""
        try:
            return self._http.get("/health/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def frames(
        self,
        layer: Layer | str = Layer.PHASE,
        dtype: Dtype = "float32",
        max_fps: float = 0.0,
        downscale: int = 1,
        reconnect: bool = False,
    ) -> Generator[ReceivedFrame]:
        """Live frames as they come, the newest first where this program is slower than the camera.

        Args:
            layer: one of `Layer`, or its word: `phase` and `wrapped` in rad, `interferogram`; where frames have them
                also `baseline` and `true`.
            dtype: `float32` for exact values, `uint8` for previews.
            max_fps: frames per second at most; 0: all that there are.
            downscale: edge of the pixel blocks that are averaged into one.
            reconnect: go on when the service goes away and comes back; else its going away ends the iteration.

        Raises:
            ServiceError: the service cannot be reached or refuses; with `reconnect` only the latter.
        """
        query = urlencode({"layer": layer, "dtype": dtype, "max_fps": max_fps, "downscale": downscale})
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                with connect(
                    f"{self._stream_url}?{query}",
                    compression=None,
                    max_size=_LARGEST_MESSAGE,
                    max_queue=1,  # what waits here is old by the time it is read
                    open_timeout=self._timeout_s,
                    proxy=None,
                ) as connection:
                    for message in connection:
                        if isinstance(message, bytes):
                            frame = unpack(message)
                            retry_s = _FIRST_RETRY_S
                            yield ReceivedFrame(frame.header, frame.payload)
            except InvalidStatus as refusal:
                if refusal.response.status_code < 500 or not reconnect:
                    raise _refused(refusal.response.status_code, bytes(refusal.response.body or b"")) from refusal
            except InvalidURI as error:
                raise ServiceError(
                    f"expected a service's address such as http://127.0.0.1:8000, got {self.url!r}"
                ) from error
            except (OSError, ConnectionClosed, InvalidHandshake) as error:
                if not reconnect and not isinstance(error, ConnectionClosed):
                    raise ServiceError(f"expected a service at {self.url}, got: {error}") from error
            if not reconnect:
                return
            sleep(retry_s)
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)

    def latest(self, layer: Layer | str = Layer.PHASE, downscale: int = 1) -> ReceivedFrame:
        """The newest frame, exact.

        Raises:
            ServiceError: there is none yet, or see `ServiceError`.
        """
        params = {"layer": layer, "format": "npy", "downscale": downscale}
        return _received(self._ask("GET", "/frames/latest", params=params))

    def phase(
        self, interferogram: NDArray[Any], engine: str | None = None, bit_depth: int | None = None
    ) -> ReceivedFrame:
        """The unwrapped phase in rad of an (H, W) interferogram of real grey values.

        Raises:
            ServiceError: it cannot be inverted, or see `ServiceError`.
        """
        params = _given(engine=engine, bit_depth=bit_depth, format="npy")
        return _received(self._ask("POST", "/phase", params=params, content=_npy(interferogram)))

    def compare(self, a: str, b: str, interferogram: NDArray[Any] | None = None) -> Comparison:
        """How far two engines agree on an (H, W) interferogram, or on the newest live frame.

        Raises:
            ServiceError: see `ServiceError`.
        """
        content = b"" if interferogram is None else _npy(interferogram)
        answer = self._ask("POST", "/compare", params={"a": a, "b": b}, content=content)
        return Comparison.model_validate_json(answer.content)

    def stats(self) -> Stats:
        """Everything about the stream at this moment.

        Raises:
            ServiceError: see `ServiceError`.
        """
        return Stats.model_validate_json(self._ask("GET", "/stats").content)

    def engine(self) -> EngineAnswer:
        """The engine, the engines it can be switched to, and what can be tuned.

        Raises:
            ServiceError: see `ServiceError`.
        """
        return EngineAnswer.model_validate_json(self._ask("GET", "/engine").content)

    def use_engine(self, name: str) -> EngineAnswer:
        """Let another engine make the phase; returns once it is warm and in use.

        Raises:
            ServiceError: it cannot be opened there or does not take these frames, or see `ServiceError`.
        """
        return EngineAnswer.model_validate_json(self._ask("PUT", "/engine", json={"engine": name}).content)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, _API + path, **request)
        except httpx.HTTPError as error:
            raise ServiceError(f"expected a service at {self.url}, got: {error}") from error
        if answer.is_error:
            raise _refused(answer.status_code, answer.content)
        return answer


def _refused(status: int, body: bytes) -> ServiceError:
    try:
        sentence = str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        sentence = f"the service answered {status}"
    return ServiceError(sentence, status)


def _received(answer: httpx.Response) -> ReceivedFrame:
    payload = np.load(BytesIO(answer.content), allow_pickle=False)
    payload.flags.writeable = False
    return ReceivedFrame(FrameHeader.model_validate_json(answer.headers["QPI-Frame"]), payload)


def _npy(values: NDArray[Any]) -> bytes:
    file = BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
