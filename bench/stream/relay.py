"""A line of a set speed between a client and the service: a relay that passes so many bytes a second."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from time import monotonic, sleep
from urllib.parse import urlsplit

_PIECES_PER_S = 50
_LARGEST_PIECE = 1 << 16
_BUFFER_BYTES = 1 << 15  # what a narrow line holds; a relay that took more would not be narrow


@contextmanager
def line_of(url: str, bytes_per_s: float) -> Iterator[str]:
    """The service's address behind a line of this speed; 0: without a line between."""
    if bytes_per_s == 0:
        yield url
        return
    target = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = (target.hostname or "", target.port or 80)
        Thread(target=_accept, args=(listening, address, bytes_per_s), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _accept(listening: socket.socket, address: tuple[str, int], bytes_per_s: float) -> None:
    with suppress(OSError):  # closed: the measurement is over
        while True:
            client, _ = listening.accept()
            service = socket.socket()
            service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            service.connect(address)
            for one, other, speed in ((client, service, 0.0), (service, client, bytes_per_s)):
                Thread(target=_pass_on, args=(one, other, speed), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket, bytes_per_s: float) -> None:
    piece = int(min(_LARGEST_PIECE, max(256, bytes_per_s / _PIECES_PER_S))) if bytes_per_s else _LARGEST_PIECE
    due = monotonic()
    with suppress(OSError):
        while data := one.recv(piece):
            other.sendall(data)
            if bytes_per_s:
                due = max(due, monotonic() - 1 / _PIECES_PER_S) + len(data) / bytes_per_s
                sleep(max(0.0, due - monotonic()))
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
