"""Looks at a running service from outside, as its users do: `probe.py page|frame|hold http://127.0.0.1:8000`.

page: the page and every file that it leads to arrive. frame: a phase frame arrives over the WebSocket. hold: keep
receiving frames until the service says goodbye. Runs in the image, for its packages; the last line is the result.
"""

import re
import sys
from time import perf_counter
from urllib.parse import urljoin

import httpx
import numpy as np
from qpi_live.service.wire import unpack
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

LINKS = re.compile(r"""(?:\b(?:src|href)=|\bfrom\s+|\bimport\s+)["']([^"'#]+\.\w+)["']""")
CLOSED_ON_PURPOSE = (1001, 1012)  # RFC 6455: going away; service restart


def page(url: str) -> None:
    """Fetch the page, then what it links to, and what that imports."""
    waiting, seen = [url], set[str]()
    while waiting:
        address = waiting.pop()
        seen.add(address)
        answer = httpx.get(address, timeout=30).raise_for_status()
        if not answer.content:
            sys.exit(f"expected {address} to have a content, got none")
        waiting += {urljoin(address, link) for link in LINKS.findall(answer.text)} - seen - set(waiting)
    if len(seen) < 3:
        sys.exit(f"expected a page with scripts and styles, got {', '.join(sorted(seen))}")
    print(f"page and {len(seen) - 1} files")


def receive(connection: ClientConnection) -> str:
    """Wait for one frame, which must be phase; texts are news, and passed over."""
    while isinstance(message := connection.recv(timeout=10), str):
        continue
    frame = unpack(message)
    phase_rad = frame.payload
    if phase_rad.dtype != np.float32 or not np.isfinite(phase_rad).all() or not 0.01 < phase_rad.std() < 1000:
        sys.exit(f"expected finite phase in rad that varies, got {phase_rad.dtype}, deviation {phase_rad.std()}")
    return f"{frame.header.shape[0]} × {frame.header.shape[1]} px from {frame.header.engine.name}"


def stream(url: str) -> ClientConnection:
    """The stream of whole phase frames."""
    address = urljoin(url.replace("http", "ws", 1), "/api/v1/stream?layer=phase&dtype=float32")
    return connect(address, max_size=None, compression=None)


def frame(url: str) -> None:
    """Time the first frame from before the connection on."""
    start = perf_counter()
    with stream(url) as connection:
        what = receive(connection)
        print(f"{(perf_counter() - start) * 1e3:.0f} ms after connecting ({what})")


def hold(url: str) -> None:
    """Receive until the service closes the connection, and say how it did."""
    frames = 0
    with stream(url) as connection:
        try:
            while True:
                receive(connection)
                frames += 1
                if frames == 1:
                    print("receiving", flush=True)
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
    if code not in CLOSED_ON_PURPOSE:
        sys.exit(f"expected the service to close with {CLOSED_ON_PURPOSE}, got {code}")
    print(f"goodbye {code} after {frames} frames")


if __name__ == "__main__":
    {"page": page, "frame": frame, "hold": hold}[sys.argv[1]](sys.argv[2])
