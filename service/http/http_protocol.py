"""uvicorn's HTTP protocol, with bounds on connections, on the bytes of headers, and on how long those may take."""

from __future__ import annotations

import asyncio
from typing import Any

from qpi_live.service.http.connections import Connection, Connections
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES = 32 << 10
_MOST_PER_PAYLOAD_BYTE = 8  # of chunked encoding, with one byte a chunk
_HEALTH = (b"/health/live", b"/health/ready")


class BoundedHttp(HttpToolsProtocol):
    """One connection; `connections` is the book of all that the server has.

    Headers of more than `MOST_HEADER_BYTES` are answered with 431, in one piece or in many. A connection beyond the
    book's bounds gets 503, unless it asks for the service's health.
    """

    def __init__(self, connections: Connections, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._book = connections
        self._connection: Connection | None = None
        self._header_bytes = 0
        self._bytes = 0  # of the message at hand
        self._payload_bytes = 0
        self._plain_app: ASGIApp = self.app

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._connection = self._book.admit(transport, self.client[0] if self.client else "")
        if self._connection is None:
            self._end_with(503, b"too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._connection is not None:
            self._book.forget(self._connection)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.transport.is_closing() or self._connection is None:
            return
        if not self._connection.has_begun and self._connection.waits_since is not None:
            self._connection.has_begun, self._connection.waits_since = True, self.loop.time()
        self._bytes += len(data)
        super().data_received(data)
        overhead = self._bytes - self._payload_bytes
        if overhead > MOST_HEADER_BYTES + _MOST_PER_PAYLOAD_BYTE * self._payload_bytes and self._bytes:
            self._end_with(431, b"expected at most 32 KiB of headers")

    def handle_websocket_upgrade(self) -> None:
        """See uvicorn's own."""
        if self._connection is not None:
            if self._connection.is_surplus or self._header_bytes > MOST_HEADER_BYTES:
                self._end_with(503, b"too many connections")
                return
            self._connection.is_stream = True
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        super().on_url(url)
        self._header_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes <= MOST_HEADER_BYTES:  # what goes beyond is counted, and not kept
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        connection = self._connection
        self.app = self._plain_app
        if connection is not None:
            connection.waits_since, connection.has_begun = None, False
            if connection.is_surplus and self.url.partition(b"?")[0] not in _HEALTH:
                self.app = _refusal(503, "expected fewer connections, and there are as many as may be; try again soon")
        if self._header_bytes > MOST_HEADER_BYTES:
            self.app = _refusal(431, "expected at most 32 KiB of headers, got more")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._payload_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._bytes = self._payload_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See uvicorn's own."""
        super().on_response_complete()
        if self._connection is not None and not self.pipeline:
            self._connection.waits_since = self.loop.time()

    def _end_with(self, status: int, why: bytes) -> None:
        if not self.transport.is_closing():
            length = str(len(why)).encode()
            self.transport.write(
                b"HTTP/1.1 %d \r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %s\r\n\r\n%s"
                % (status, length, why)
            )
            self.transport.close()


def _refusal(status: int, sentence: str) -> ASGIApp:
    return JSONResponse({"detail": sentence}, status, {"connection": "close"})
