"""uvicorn as this service needs it."""

from __future__ import annotations

import logging
import socket
import sys
from functools import partial

import uvicorn
from fastapi import FastAPI
from qpi_live.service.http.connections import Connections
from qpi_live.service.http.http_protocol import BoundedHttp
from qpi_live.service.http.websocket_protocol import StreamProtocol
from qpi_live.service.settings import SettingsError

_GRACE_S = 3
_LONGEST_MESSAGE = 4096  # of a client of the stream: a choice is about 100 bytes


def make_server(app: FastAPI, is_debugging: bool = False) -> uvicorn.Server:
    """A server for `app`: small messages in, no compression, and an end within seconds whatever the clients do."""
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if is_debugging else logging.WARNING)
    config = uvicorn.Config(
        app,
        http=partial(BoundedHttp, Connections()),  # type: ignore[arg-type]  # called like the class
        ws=StreamProtocol,
        ws_max_size=_LONGEST_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
        access_log=is_debugging,
        log_config=None,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        SettingsError: the address is not this machine's, or taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # there it would let two servers share the port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"expected a free address of this machine, got {host}:{port} ({error.strerror}); choose another --port"
        ) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Where a browser finds the service behind the socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
