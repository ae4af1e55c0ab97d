"""One client's stream of frames: connects, asks for each frame when it is wanted, and tells why the stream ended."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from pydantic import ValidationError
from qpi_live.service.client.received import ReceivedFrame, ServiceError, refused
from qpi_live.service.wire import StreamStatus, WireError, unpack
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

_READY = json.dumps({"ready": True})
_LARGEST_MESSAGE = 1 << 30
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0
_GLANCE_S = 0.2  # how long a wait for a frame goes on without looking at `stop`
_ORDERLY = (1000, 1001, 1012)  # RFC 6455 §7.4.1 and its registry: done, going away, service restart
# Seconds of silence before the system asks whether the other side is there, between questions, and how often it asks.
_KEEP_ALIVE = (("TCP_KEEPIDLE", 20), ("TCP_KEEPALIVE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to ask for, and of whom.

    Attributes:
        address: finds the stream's URL, query included; asked again for each connection.
        service: the service's address, for people.
        timeout_s: how long connecting may take.
        wait_s: how long a frame may be in coming; None: for ever.
        reconnect: whether to go on when the service goes away and comes back.
        on_status: called with the line's status, at the start and whenever it changes.
        headers: what goes with the request, such as the token; in Latin-1.
        stop: ends the frames within a moment when it is set, by any thread.
    """

    address: Callable[[], str]
    service: str
    timeout_s: float
    wait_s: float | None
    reconnect: bool
    on_status: Callable[[StreamStatus], None]
    headers: Mapping[str, str]
    stop: Event = field(default_factory=Event)

    def frames(self) -> Generator[ReceivedFrame]:
        """The frames; see `PhaseClient.frames`."""
        retry_s = _FIRST_RETRY_S
        while not self.stop.is_set():
            has_come = False
            try:
                for frame in self._connected():
                    has_come = True
                    yield frame
                ending = "the service stopped"
            except _Ended as error:
                if not self.reconnect:
                    raise ServiceError(str(error), error.status) from error.__cause__
                ending = str(error)
            if not self.reconnect or self.stop.is_set():
                return
            retry_s = _FIRST_RETRY_S if has_come else retry_s
            _log.info("%s; connecting again in %.1f s", ending, retry_s)
            self.stop.wait(retry_s)
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)

    def _connected(self) -> Generator[ReceivedFrame]:
        """The frames of one connection; _Ended where it ends otherwise than by the service's stop."""
        try:
            with connect(
                self.address(),
                compression=None,
                max_size=_LARGEST_MESSAGE,
                open_timeout=self.timeout_s,
                close_timeout=1.0,
                ping_interval=None,  # a pong may be long in coming behind a large frame
                proxy=None,
                additional_headers=dict(self.headers),
                create_connection=_Connection,
            ) as connection:
                _keep_alive(connection.socket)
                yield from self._received(connection)
        except InvalidStatus as refusal:
            error = refused(refusal.response.status_code, bytes(refusal.response.body or b""))
            if refusal.response.status_code < 500:
                raise error from refusal
            raise _Ended(str(error), error.status) from refusal
        except InvalidURI as error:
            expected = "expected a service's address such as http://127.0.0.1:8000"
            raise ServiceError(f"{expected}, got {self.service!r}") from error
        except ConnectionClosed as end:
            if end.rcvd is None or end.rcvd.code not in _ORDERLY:
                raise _Ended(f"expected frames from {self.service}, and {_reason(end)}") from end
        except (OSError, InvalidHandshake) as error:
            raise _Ended(f"expected a service at {self.service}, got: {error}") from error

    def _received(self, connection: ClientConnection) -> Generator[ReceivedFrame]:
        has_come, status, asked_at = False, None, monotonic()
        while not self.stop.is_set():
            left_s = _GLANCE_S if self.wait_s is None else max(0.0, asked_at + self.wait_s - monotonic())
            try:
                message = connection.recv(min(left_s, _GLANCE_S))
            except TimeoutError as error:
                if self.wait_s is None or left_s > _GLANCE_S:
                    continue
                why = f": {status.sentence}" if status else ""
                raise _Ended(f"expected a frame within {self.wait_s} s, got none{why}") from error
            if isinstance(message, bytes):
                try:
                    frame = unpack(message)
                except WireError as error:
                    raise ServiceError(f"expected a service of this client's version, got: {error}") from error
                yield ReceivedFrame(frame.header, frame.payload)
                has_come = True
                if self.stop.is_set():
                    return
                # Only now, when this program wants it: the frame that comes is the newest at this moment.
                connection.send(_READY)
                asked_at = monotonic()
            else:
                status = self._hear(message, has_come) or status

    def _hear(self, text: str, has_come: bool) -> StreamStatus | None:
        said = json.loads(text)
        if "status" in said:
            try:
                status = StreamStatus.model_validate(said["status"])
            except ValidationError:  # of a newer service
                return None
            self.on_status(status)
            return status
        if "warning" in said:
            # Who waits for a first frame that cannot come should be told; later, the line may have changed for a while.
            if not has_come and not self.reconnect:
                raise ServiceError(str(said["warning"]))
            _log.warning("no frame comes: %s", said["warning"])
        return None


class _Connection(ClientConnection):
    """Receives 4 MB in a few pieces, not in 64: a third less time, and less taken from the rest of the program."""

    recv_bufsize = 1 << 20


class _Ended(Exception):
    """The connection ended, or never was, in a way that connecting again may mend."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


def _reason(end: ConnectionClosed) -> str:
    if end.rcvd is None:
        return "the connection was cut without a goodbye; is the service still running, and the network up?"
    return f"the service closed the connection ({end.rcvd.code}): {end.rcvd.reason or 'no reason given'}"


def _keep_alive(connection: socket.socket) -> None:
    """Let the system find out within a minute when the other machine or the cable is gone."""
    with suppress(OSError):  # gone again already, which reading will say
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE:
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
