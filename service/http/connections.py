"""The connections that are open: how many there may be, in all and from one address, and which have waited too long.

A connection that asks nothing can be let go for one that does. Where none can be let go, those that are left may still
ask for the service's health.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

if sys.platform == "linux":
    import fcntl
    import termios
if sys.platform != "win32":
    import resource

MOST = 512
MOST_PER_ADDRESS = 256  # half, so that one address never takes all; behind a proxy it is everybody's
MOST_SURPLUS = 32  # beyond these two, for questions about the service's health alone
HEADER_S = 10.0
STALL_S = 10.0
_SURPLUS_HEADER_S = 2.0
_LET_GO_AFTER_S = 1.0  # a client that has only just come gets time to ask
_LOOK_S = 1.0


@dataclass(eq=False, slots=True)
class Connection:
    """One connection.

    Attributes:
        transport: what it goes over.
        address: the client's.
        is_surplus: beyond what may be; it gets no answer but about the service's health.
        waits_since: since when the loop's clock has waited for a whole request; None while one is answered.
        has_begun: whether a part of that request has come.
        is_stream: whether it is a WebSocket, which looks after itself.
    """

    transport: asyncio.Transport
    address: str
    is_surplus: bool
    waits_since: float | None
    has_begun: bool = False
    is_stream: bool = False
    unsent_bytes: int = 0
    moved_at: float = field(default=0.0)

    @property
    def is_gone(self) -> bool:
        """Whether its socket has been closed, with all that was still to be sent."""
        return _socket(self.transport) is None

    def abort(self) -> None:
        """Close it at once: without the reset, the kernel would keep what it has for this client for minutes."""
        connection = _socket(self.transport)
        if connection is not None:
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


class Connections:
    """All connections of one server; used on its event loop only."""

    def __init__(self) -> None:
        self._all: set[Connection] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._most = _most_here()

    def admit(self, transport: asyncio.Transport, address: str) -> Connection | None:
        """The new connection, counted from now on; None where there is no room even for questions about health."""
        loop = asyncio.get_running_loop()
        is_surplus = not self._has_room(address, loop.time())
        if is_surplus and not self._has_surplus_room():
            return None
        connection = Connection(transport, address, is_surplus, loop.time())
        self._all.add(connection)
        if self._looking is None:
            self._looking = loop.call_later(_LOOK_S, self._look)
        return connection

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._all.discard(connection)

    def _has_room(self, address: str, now: float) -> bool:
        for gone in [one for one in self._all if one.is_gone]:
            self._all.discard(gone)
        counts = Counter(one.address for one in self._all if not one.is_surplus)
        if counts[address] >= MOST_PER_ADDRESS:
            return self._let_one_go(address, now)
        if counts.total() >= self._most:
            return self._let_one_go(counts.most_common(1)[0][0], now)
        return True

    def _has_surplus_room(self) -> bool:
        """Close the oldest of them that has asked nothing yet, where there are as many as may be."""
        surplus = [one for one in self._all if one.is_surplus]
        if len(surplus) < MOST_SURPLUS:
            return True
        silent = [one for one in surplus if one.waits_since is not None and not one.has_begun]
        if not silent:
            return False
        oldest = min(silent, key=lambda one: one.waits_since or 0.0)
        self._all.discard(oldest)
        oldest.abort()
        return True

    def _let_one_go(self, address: str, now: float) -> bool:
        """Close the connection from `address` that has waited longest for a request to come, if any has."""
        waiting = [
            (one.waits_since, index, one)
            for index, one in enumerate(self._all)
            if one.waits_since is not None and one.address == address and not (one.is_stream or one.is_surplus)
        ]
        since, _, longest = min(waiting, default=(now, 0, None))
        if longest is None or now - since < _LET_GO_AFTER_S:
            return False
        self._all.discard(longest)
        longest.abort()
        return True

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for connection in list(self._all):
            if connection.is_gone:
                self._all.discard(connection)
            elif not connection.is_stream:
                self._look_at(connection, loop.time())
        self._looking = loop.call_later(_LOOK_S, self._look) if self._all else None

    def _look_at(self, connection: Connection, now: float) -> None:
        waits_since = connection.waits_since
        longest_s = _SURPLUS_HEADER_S if connection.is_surplus else HEADER_S
        if waits_since is not None and now - waits_since > longest_s:
            if connection.has_begun and not connection.transport.is_closing():
                connection.transport.write(_TIMED_OUT)
            connection.waits_since = None
            connection.transport.close()
        unsent = _unsent_bytes(connection.transport)
        if unsent == 0 or unsent != connection.unsent_bytes:
            connection.unsent_bytes, connection.moved_at = unsent, now
        elif now - connection.moved_at > STALL_S:
            connection.abort()


_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def _socket(transport: asyncio.Transport) -> socket.socket | None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    return connection if connection is not None and connection.fileno() >= 0 else None


def _unsent_bytes(transport: asyncio.Transport) -> int:
    """What the client has not acknowledged yet, in this program and, where the system says so, in the kernel."""
    connection = _socket(transport)
    unsent = transport.get_write_buffer_size()
    if connection is not None and sys.platform == "linux":
        with suppress(OSError):
            unsent += struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    return unsent


def _most_here() -> int:
    """`MOST`, or half of the files that this process may open, where that is less."""
    if sys.platform == "win32":
        return MOST
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(1, min(MOST, files // 2))
