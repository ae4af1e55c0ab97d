"""Clients as they come: steady, slow, coming and going, and those that send interferograms, good and hostile."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import cycle
from threading import Event
from time import sleep
from urllib.parse import urlsplit

import httpx
import numpy as np
from qpi_live.bench.stream.reader import Reader
from qpi_live.service.client import PhaseClient, ServiceError

_LAYERS = ("phase", "wrapped", "interferogram", "amplitude", "mask", "baseline")
_SIZE = 256


def steady(url: str, kind: int, done: Event, did: Counter[str]) -> None:
    """Read every frame as it comes; each `kind` another layer and size."""
    _read(url, done, did, layer=_LAYERS[kind], dtype=("float32", "uint8")[kind % 2], downscale=1 + kind % 3)


def slow(url: str, pause_s: float, done: Event, did: Counter[str]) -> None:
    """Take `pause_s` over each frame."""
    _read(url, done, did, pause_s)


def _read(
    url: str,
    done: Event,
    did: Counter[str],
    pause_s: float = 0.0,
    layer: str = "phase",
    dtype: str = "float32",
    downscale: int = 1,
) -> None:
    with PhaseClient(url, timeout_s=60) as client:
        while not done.is_set():
            try:
                for _ in client.frames(layer, dtype, downscale=downscale, wait_s=20):  # type: ignore[arg-type]
                    did["frames read"] += 1
                    if done.wait(pause_s):
                        return
            except ServiceError:
                did["streams ended with a reason"] += 1
                done.wait(0.5)


def coming_and_going(url: str, done: Event, did: Counter[str]) -> None:
    """Read a few frames, hang up without a goodbye, come back."""
    for frames in cycle((0, 1, 3, 10)):
        if done.is_set():
            return
        with suppress(OSError, EOFError):
            reader = Reader(url, "downscale=2")
            for _ in range(frames):
                reader.next_frame()
            reader.close()
            did["hung up"] += 1
        sleep(0.2)


def sending(url: str, done: Event, did: Counter[str]) -> None:
    """Send interferograms, one after the other: every second one is hostile."""
    with httpx.Client(trust_env=False, timeout=120) as client:
        for good, (name, hostile) in zip(cycle(_good()), cycle(_hostile()), strict=True):
            if done.is_set():
                return
            for kind, body in (("good", good), (name, hostile)):
                try:
                    answer = client.post(f"{url}/api/v1/phase?engine=goldstein", content=body)
                    why = f" {answer.json()['detail']}" if kind == "good" and answer.is_error else ""
                    did[f"sent {kind}: {answer.status_code}{why}"] += 1
                except httpx.HTTPError as error:
                    did[f"sent {kind}: {type(error).__name__}"] += 1
            _hang_up_while_sending(url)
            done.wait(1.0)


def _hang_up_while_sending(url: str) -> None:
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=10) as connection:
        connection.sendall(
            f"POST /api/v1/phase HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 1000000\r\n\r\n".encode()
        )
        connection.sendall(bytes(10_000))


def _good() -> Iterator[bytes]:
    y, x = np.mgrid[:_SIZE, :_SIZE]
    for shift in (0.0, 1.0, 2.0):
        pixels = np.rint(127 + 100 * np.cos(2 * np.pi * (0.11 * y + 0.17 * x) + shift)).astype(np.uint8)
        yield _npy(pixels)
        yield _npy(pixels.astype(np.uint16) * 16)


def _hostile() -> Iterator[tuple[str, bytes]]:
    """Each with its name: what a few bytes may promise, and what is no interferogram at all."""
    yield "noise", np.random.default_rng(0).bytes(100_000)
    yield (
        "nothing but a header",
        _npy_header("<f8", (99_999, 99_999)),
    )
    yield "objects", _npy_header("|O", (3, 3))
    yield "JPEG strip of 65500 squared", _tiff_with_jpeg(65500)
    yield "one grey value", _npy(np.zeros((_SIZE, _SIZE), np.uint8))
    yield "NaN alone", _npy(np.full((_SIZE, _SIZE), np.nan, np.float32))
    yield "a thin strip", _npy(np.zeros((1, 60_000), np.uint8))
    yield "16 million pixels", _npy(np.zeros((4096, 4096), np.uint8))
    yield "cut short", next(_good())[:-1000]


def _npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def _npy_header(descr: str, shape: tuple[int, int]) -> bytes:
    """The beginning of an `.npy` file, and nothing of what it promises."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def _tiff_with_jpeg(edge: int) -> bytes:
    """A TIFF of one page of 64 × 64 pixels, whose strip is a JPEG that says it has `edge` × `edge`."""
    jpeg = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHBBBB", 11, 8, edge, edge, 1, 1, 0x11, 0) + b"\xff\xda" + bytes(600)
    entries = ((256, 64), (257, 64), (258, 8), (259, 7), (262, 1), (273, 8), (277, 1), (278, 64), (279, len(jpeg)))
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<2sHI", b"II", 42, 8 + len(jpeg)) + jpeg + directory + bytes(4)
