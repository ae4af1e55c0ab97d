"""uvicorn's WebSocket protocol, made to know when a client has read a frame, and to let go of one that never reads."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

from qpi_live.service.http.allowance import Allowance
from qpi_live.service.http.unread import unread_bytes
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

STALL_S = 75.0  # longer than a program may pause in the middle of a frame that its buffers do not hold
STUCK = "took nothing and said nothing"
_KEEP_ALIVE_S = 20.0  # proxies close connections on which nothing moves for a minute
_LOOK_S = 1.0
_PONG_S = 1.0
_CLOSE_S = 1.0
_NUMBER_BYTES = 8  # of a ping: which one it is
_FINAL_BINARY = 0x82  # RFC 6455 §5.2: FIN, opcode 2
_POLICY = 1008  # RFC 6455 §7.4.1


class ClientStuck(ClientDisconnected):
    """The client neither took a byte nor said a word for `STALL_S`; its connection was aborted."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """Sends a binary message straight from the caller's buffer and, if asked, returns once the client has read it.

    uvicorn's own `send` copies the message and returns as soon as it is queued, and the kernels hold megabytes more. A
    message with `"confirm": True` is followed by a ping, and `send` returns with its pong: what answers has read all
    that came before. RFC 6455 §5.5.2 forbids never to answer a ping. A client that does so gets on once its kernel has
    acknowledged everything, and no faster than a message a second. The buffer may be shared with other clients; nobody
    may write to it any more.

    A client is kept as long as it takes bytes, however slowly, or says something. Pings keep the connection alive and
    are never a reason to close it: behind a large frame their pongs may be long in coming.

    Raises (from `send`):
        ClientDisconnected: the client is gone.
        ClientStuck: it was let go.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._pings = 0  # sent
        self._pongs = 0  # the newest ping that was answered
        self._answered = asyncio.Event()
        self._late_pong: bytes | None = None
        self._allowance = Allowance()
        self._is_stuck = False
        self._was_heard = False
        self._unread_before = 0
        self._moved_at = self._pinged_at = self.loop.time()
        self._looking: asyncio.TimerHandle | None = None
        super().connection_made(transport)

    async def send(self, message: ASGISendEvent) -> None:
        """See the ASGI specification, `websocket.send` and its siblings."""
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if data is None:
            await super().send(message)
            if message["type"] == "websocket.http.response.body":
                self.handshake_complete = True  # a refusal ends the handshake; else uvicorn logs an error for each
            return
        await self._drained()
        if self.conn.state is not State.OPEN or self.transport.is_closing():
            raise ClientDisconnected
        view = memoryview(data)
        self.transport.write(_frame_start(view.nbytes))
        self.transport.write(view)
        if message.get("confirm"):
            await self._read(self._ping())  # at once: among many clients, each turn of the loop takes a while
        else:
            await self._drained()

    async def _drained(self) -> None:
        """Return when little is left to hand to the kernel."""
        await self.writable.wait()
        self._raise_if_gone()

    async def _read(self, number: int) -> None:
        """Return when the client has read all that came before the ping with this number."""
        while self._pongs < number:
            self._answered.clear()
            if self._pongs:
                await self._answered.wait()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._answered.wait(), _PONG_S)
                if not self._answered.is_set() and self._unread() == 0:
                    return
            self._raise_if_gone()

    def _raise_if_gone(self) -> None:
        if self.disconnected:
            raise ClientStuck if self._is_stuck else ClientDisconnected

    def _unread(self) -> int:
        return self.transport.get_write_buffer_size() + unread_bytes(self.transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._answered.set()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.handshake_complete and not self.close_sent and not self._allowance.takes(len(data), self.loop.time()):
            self._refuse(_POLICY, "expected a few small messages a second, got a flood")
            return
        super().data_received(data)

    def handle_text(self, event: Frame) -> None:
        """A word of the client's."""
        self._was_heard = True
        super().handle_text(event)

    def handle_ping(self) -> None:
        """Answer a ping; where a client sends pings and does not read, only the newest (RFC 6455 §5.5.3)."""
        pongs = [part for part in self.conn.data_to_send() if part]
        if self.writable.is_set():
            self.transport.write(b"".join(pongs))
        elif pongs:
            self._late_pong = pongs[-1]

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        if self._late_pong is not None:
            self.transport.write(self._late_pong)
            self._late_pong = None

    def handle_pong(self, event: Frame) -> None:
        """The client has read all that came before the ping with this number."""
        number = int.from_bytes(event.data) if len(event.data) == _NUMBER_BYTES else 0
        if self._pongs < number <= self._pings:
            self._pongs = number
            self._was_heard = True
            self._answered.set()

    def start_keepalive(self) -> None:
        """Watch the connection, from the handshake on. The first ping finds out whether the client answers any."""
        self._ping()
        self._look()

    def stop_keepalive(self) -> None:
        """Watch no more."""
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        now, unread = self.loop.time(), self._unread()
        owes = unread > 0 or 0 < self._pongs < self._pings
        if not owes or self._was_heard or unread < self._unread_before:
            self._moved_at = now
        elif now - self._moved_at >= STALL_S:
            self._is_stuck = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _POLICY, "reason": STUCK})
            self._let_go()
            return
        if not owes and now - self._pinged_at >= _KEEP_ALIVE_S:
            self._ping()
        self._was_heard, self._unread_before = False, unread
        self._looking = self.loop.call_later(min(_LOOK_S, STALL_S / 4), self._look)

    def _ping(self) -> int:
        self._pings += 1
        self._pinged_at = self.loop.time()
        if not self.close_sent and not self.transport.is_closing():
            self.conn.send_ping(self._pings.to_bytes(_NUMBER_BYTES))
            self.transport.write(b"".join(self.conn.data_to_send()))
        return self._pings

    def _refuse(self, code: int, sentence: str) -> None:
        """Close, saying why, and hear no more."""
        self.stop_keepalive()
        self.conn.fail(code, sentence)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": sentence})
        self.transport.close()
        self.loop.call_later(_CLOSE_S, self._let_go)

    def shutdown(self) -> None:
        """Close, and do not wait for a client that never reads the goodbye."""
        super().shutdown()
        self.loop.call_later(_CLOSE_S, self._let_go)

    def _let_go(self) -> None:
        """Close at once: without the reset, the kernel would keep what it has for this client for minutes."""
        if self.disconnected:
            return
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


def _frame_start(length: int) -> bytes:
    """RFC 6455 §5.2: the first bytes of one unmasked, unfragmented binary frame."""
    if length < 126:
        return struct.pack("!BB", _FINAL_BINARY, length)
    if length < 1 << 16:
        return struct.pack("!BBH", _FINAL_BINARY, 126, length)
    return struct.pack("!BBQ", _FINAL_BINARY, 127, length)
