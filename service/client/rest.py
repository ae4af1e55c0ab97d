"""The client's requests over REST."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from qpi_live.service.api.schemas import Comparison, EngineAnswer, Stats
from qpi_live.service.client.received import ReceivedFrame, ServiceError, refused
from qpi_live.service.wire import FrameHeader

API = "/api/v1"


class Rest:
    """Asks one service; every method may raise ServiceError.

    Args:
        url: the page's address, without a slash at the end.
        timeout_s: how long an answer may take.
        headers: what goes with every request, such as the token; in Latin-1.
        camera: whose line is meant, where several cameras run; None: the first's.
    """

    def __init__(self, url: str, timeout_s: float, headers: Mapping[str, str], camera: str | None = None) -> None:
        self._url, self._timeout_s = url, timeout_s
        params = {"camera": camera} if camera else {}
        written = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        # Takes no proxy from the environment: the microscope is near. Without TLS the world's
        # certificates, 50 ms to read, stay unread: redirections to a server that shows one are not followed.
        has_tls = not url.lower().startswith("http:")
        self._http = httpx.Client(
            base_url=url, timeout=timeout_s, trust_env=False, headers=written, params=params, verify=has_tls
        )

    def close(self) -> None:
        """Close the connection. Doing it twice is harmless."""
        self._http.close()

    def is_ready(self) -> bool:
        """Whether frames can be expected; False where nobody answers."""
        try:
            return self._http.get("/health/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def latest(self, layer: str, downscale: int, masked: str) -> ReceivedFrame:
        """The newest frame, exact."""
        params = {"layer": layer, "format": "npy", "downscale": downscale, "masked": masked}
        return _received(self.ask("GET", "/frames/latest", params=params))

    def phase(
        self,
        interferogram: NDArray[Any],
        engine: str | None,
        bit_depth: int | None,
        masked: str,
        mask: NDArray[Any] | None,
        calibration: NDArray[Any] | None,
    ) -> ReceivedFrame:
        """The phase of an interferogram."""
        given = {"engine": engine, "bit_depth": bit_depth}
        params = {
            "format": "npy",
            "masked": masked,
            **{name: value for name, value in given.items() if value is not None},
        }
        arrays = {"frame": interferogram, "mask": mask, "calibration": calibration}
        files = {name: (f"{name}.npy", _npy(array)) for name, array in arrays.items() if array is not None}
        return _received(self.ask("POST", "/phase", params=params, files=files))

    def compare(self, a: str, b: str, interferogram: NDArray[Any] | None) -> Comparison:
        """How far two engines agree."""
        content = b"" if interferogram is None else _npy(interferogram)
        answer = self.ask("POST", "/compare", params={"a": a, "b": b}, content=content)
        return Comparison.model_validate_json(answer.content)

    def stats(self) -> Stats:
        """Everything about the stream."""
        return Stats.model_validate_json(self.ask("GET", "/stats").content)

    def engine(self) -> EngineAnswer:
        """The engine."""
        return EngineAnswer.model_validate_json(self.ask("GET", "/engine").content)

    def use_engine(self, name: str) -> EngineAnswer:
        """Another engine."""
        return EngineAnswer.model_validate_json(self.ask("PUT", "/engine", json={"engine": name}).content)

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer to a request below the API's address."""
        try:
            answer = self._http.request(method, API + path, **request)
        except httpx.HTTPError as error:
            raise self._unanswered(error) from error
        if answer.is_error:
            raise refused(answer.status_code, answer.content)
        return answer

    def download(self, path: str, target: Path) -> None:
        """Write what is answered below the API's address into a file, without holding all of it."""
        try:
            with self._http.stream("GET", API + path) as answer:
                if answer.is_error:
                    raise refused(answer.status_code, answer.read())
                with target.open("xb") as file:
                    for part in answer.iter_bytes():
                        file.write(part)
        except httpx.HTTPError as error:
            raise self._unanswered(error) from error

    def _unanswered(self, error: httpx.HTTPError) -> ServiceError:
        if isinstance(error, httpx.TimeoutException):
            waited = f"expected an answer from {self._url} within {self._timeout_s:g} s, and none came"
            return ServiceError(
                f"{waited}: the service is busy or the network down; ask again, with a longer timeout_s"
            )
        return ServiceError(f"expected a service at {self._url}, got: {error}")


def _received(answer: httpx.Response) -> ReceivedFrame:
    payload = np.load(BytesIO(answer.content), allow_pickle=False)
    payload.flags.writeable = False
    return ReceivedFrame(FrameHeader.model_validate_json(answer.headers["QPI-Frame"]), payload)


def _npy(values: NDArray[Any]) -> bytes:
    file = BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()
