"""uvicorn's WebSocket protocol, made to send large frames without a copy and to let go of clients that do not read."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

STALL_S = 5.0
_CLOSE_S = 1.0
_FINAL_BINARY = 0x82  # RFC 6455 §5.2: FIN, opcode 2


class ClientStuck(ClientDisconnected):
    """The client took not one byte for `STALL_S`; its connection was aborted."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """Sends a binary message straight from the caller's buffer and returns once the client has taken it.

    uvicorn's own `send` copies the message and returns as soon as it is queued. Here a caller that comes back for the
    next frame knows that the last one is through, and so takes the newest. The buffer may be shared with other
    clients; nobody may write to it any more.

    Raises (from `send`):
        ClientDisconnected: the client is gone.
        ClientStuck: it took nothing for `STALL_S`. A slow client that moves on, however slowly, is kept.
    """

    async def send(self, message: ASGISendEvent) -> None:
        """See the ASGI specification, `websocket.send` and its siblings."""
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if data is None:
            await super().send(message)
            if message["type"] == "websocket.http.response.body":
                self.handshake_complete = True  # a refusal ends the handshake; else uvicorn logs an error for each
            return
        await self._drained()
        if self.disconnected or self.conn.state is not State.OPEN or self.transport.is_closing():
            raise ClientDisconnected
        view = memoryview(data)
        self.transport.write(_frame_start(view.nbytes))
        self.transport.write(view)
        await self._drained()
        if self.disconnected:
            raise ClientDisconnected

    async def _drained(self) -> None:
        left = self.transport.get_write_buffer_size()
        while not self.writable.is_set():
            try:
                await asyncio.wait_for(self.writable.wait(), STALL_S)
            except TimeoutError:
                still_left = self.transport.get_write_buffer_size()
                if still_left >= left:
                    self._let_go()
                    raise ClientStuck from None
                left = still_left

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
