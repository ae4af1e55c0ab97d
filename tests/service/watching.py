"""Clients of the stream as tests need them: in process, over a real socket, quick, slow and rude."""

from __future__ import annotations

import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from starlette.testclient import WebSocketTestSession
from websockets.sync.connection import Connection

from tests.service.stations import PATIENCE_S

STREAM = "/api/v1/stream"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


def frame_bytes(stream: WebSocketTestSession) -> bytes:
    """The next frame of a stream in process; what it says between frames is passed over."""
    while True:
        message = stream.receive()
        if message.get("bytes") is not None:
            return message["bytes"]
        assert message["type"] == "websocket.send", message


def said(stream: WebSocketTestSession, key: str) -> Any:
    """What the stream next says under `key`: `status`, `warning` or `error`."""
    while True:
        message = stream.receive()
        assert message["type"] == "websocket.send", message
        if message.get("text") is not None and key in (words := json.loads(message["text"])):
            return words[key]


def frame_over(connection: Connection) -> bytes:
    """The next frame over a real socket."""
    while True:
        message = connection.recv(PATIENCE_S)
        if isinstance(message, bytes):
            return message


class RawClient:
    """A client by hand, which does only what a test has it do: it may never read, read slowly, or answer no ping."""

    def __init__(self, url: str, query: str = "", buffer_bytes: int = 65536, answers_pings: bool = False) -> None:
        self.answers_pings = answers_pings
        address = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((address.hostname, address.port))
        self.socket.sendall(
            f"GET {STREAM}?{query} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._exactly(1)
        assert head.startswith(b"HTTP/1.1 101"), head

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, opcode: int, data: bytes, is_final: bool = True, times: int = 1) -> None:
        """Send one WebSocket frame, masked (RFC 6455 §5.2), so many times."""
        assert len(data) < 65536
        length = struct.pack("!B", 0x80 | len(data)) if len(data) < 126 else struct.pack("!BH", 0xFE, len(data))
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        frame = struct.pack("!B", (0x80 if is_final else 0) | opcode) + length + mask + masked
        self.socket.sendall(frame * times)

    def ping(self, data: bytes = b"", times: int = 1) -> None:
        """Send a ping, or so many at once."""
        self.say(_PING, data, times=times)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Opcode and data of whatever comes, until the connection ends."""
        while True:
            try:
                first, second = self._exactly(2)
                length = second & 127
                if length == 126:
                    (length,) = struct.unpack("!H", self._exactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", self._exactly(8))
                data = self._exactly(length)
            except EOFError:
                return
            if first & 15 == _PING and self.answers_pings:
                self.say(_PONG, data)
            yield first & 15, data

    def frames(self) -> Iterator[bytes]:
        """The binary messages."""
        return (data for opcode, data in self.messages() if opcode == _BINARY)

    def close_code(self) -> int:
        """Read on to the end; the code that the service closed with, 0 for none."""
        for opcode, data in self.messages():
            if opcode == _CLOSE:
                return int.from_bytes(data[:2])
        return 0

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = self.socket.recv(min(size - len(data), 1 << 16))
            except ConnectionError as error:
                raise EOFError from error
            if not part:
                raise EOFError
            data += part
        return bytes(data)
