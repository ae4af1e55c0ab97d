"""The lower bound of a crowd: frames of the same bytes to the same clients, by plain sockets that do nothing else.

    python -m qpi_live.bench.stream.plain BYTES

Run in a process of its own, as the service is. Prints its address; each client that connects gets one frame after the
other, as quickly as the kernel takes them.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

_HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
_BINARY, _LONG = 0x82, 127  # RFC 6455 §5.2


@contextmanager
def plain_sender(frame_bytes: int) -> Iterator[str]:
    """The address of a sender of frames of so many bytes."""
    command = [sys.executable, "-m", "qpi_live.bench.stream.plain", str(frame_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def _serve(frame_bytes: int) -> None:
    frame = struct.pack("!BBQ", _BINARY, _LONG, frame_bytes) + bytes(frame_bytes)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        while True:
            client, _ = listening.accept()
            Thread(target=_send, args=(client, frame), daemon=True).start()


def _send(client: socket.socket, frame: bytes) -> None:
    with client, suppress(OSError):  # until it hangs up
        client.recv(4096)
        client.sendall(_HEAD)
        while True:
            client.sendall(frame)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
