"""Clients that only read, as quickly as they can, and answer pings.

    python -m qpi_live.bench.stream.reader URL CLIENTS SECONDS

Run in a process of their own, so that what they cost is not the service's. Prints each client's frames as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from base64 import b64encode
from threading import Barrier, Thread
from time import monotonic
from urllib.parse import urlsplit

_BINARY, _PING, _PONG = 2, 9, 10
_SETTLE_S = 2.0


class Reader:
    """One client by hand: it costs little, so that sixty-four of them fit on the machine that they measure."""

    def __init__(self, url: str, query: str = "") -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname or "", address.port or 80), timeout=60)
        self._socket.sendall(
            f"GET /api/v1/stream?{query} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {b64encode(bytes(16)).decode()}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._buffer = bytearray(1 << 16)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += bytes(self._exactly(1))

    def next_frame(self) -> int:
        """Read the next binary message; its size."""
        while True:
            first, second = self._exactly(2)
            size = second & 127
            if size == 126:
                (size,) = struct.unpack("!H", self._exactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._exactly(8))
            data = self._exactly(size)
            if first & 15 == _BINARY:
                return size
            if first & 15 == _PING:
                mask = os.urandom(4)
                masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
                self._socket.sendall(bytes((0x80 | _PONG, 0x80 | size)) + mask + masked)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _exactly(self, size: int) -> memoryview:
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        room = memoryview(self._buffer)[:size]
        got = 0
        while got < size:
            part = self._socket.recv_into(room[got:])
            if part == 0:
                raise EOFError("expected a service that goes on, and it hung up")
            got += part
        return room


def read(url: str, clients: int, seconds: float) -> list[int]:
    """Frames that each of `clients` got in `seconds`, all at the same time."""
    counts, ready = [0] * clients, Barrier(clients)

    def one(number: int) -> None:
        reader = Reader(url)
        reader.next_frame()
        ready.wait()
        begin = monotonic() + _SETTLE_S
        while (now := monotonic()) < begin + seconds:
            reader.next_frame()
            counts[number] += now >= begin
        reader.close()

    threads = [Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


if __name__ == "__main__":
    print(json.dumps(read(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
