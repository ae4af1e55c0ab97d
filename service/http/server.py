"""uvicorn as this service needs it."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from contextlib import suppress
from functools import partial
from threading import Timer
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI
from qpi_live.service.http.connections import Connections
from qpi_live.service.http.http_protocol import BoundedHttp
from qpi_live.service.http.websocket_protocol import StreamProtocol
from qpi_live.service.settings_file import SettingsError

_GRACE_S = 1  # for answers under way; the stream has said goodbye by then
_LONGEST_STOP_S = 2.5
_LONGEST_MESSAGE = 4096  # of a client of the stream: a choice is about 100 bytes


class QuickServer(uvicorn.Server):
    """uvicorn, which ends within `_LONGEST_STOP_S` of being told to, whatever is at hand, and at once when told twice.

    Whatever work holds a thread is left behind. Child processes end with this one (see `camera.child`).
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn's own."""
        if self.should_exit:
            leave(0)
        self.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off now is no error
        deadline = Timer(_LONGEST_STOP_S, leave, (0,))
        deadline.daemon = True
        deadline.start()


def leave(code: int) -> NoReturn:
    """End this process now, without waiting for a thread that hangs or for a driver's destructors."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def make_server(app: FastAPI, is_debugging: bool = False) -> QuickServer:
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
    return QuickServer(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the first address of `host`; port 0 takes a free one.

    Raises:
        SettingsError: the address is not this machine's, or taken.
    """
    try:
        return _listen(_addresses(host, port)[0])
    except OSError as error:
        raise _not_free(host, port, error) from error


def listen_everywhere(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on the same port of every address of `host`: `localhost` is 127.0.0.1 and ::1.

    Raises:
        SettingsError: no address is this machine's, or the port is taken on one of them.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_listen((family, (address[0], chosen, *address[2:]))))
            except OSError as error:
                # A machine without IPv6 still has a name for it.
                if not sockets or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
    except OSError as error:
        for one in sockets:
            one.close()
        raise _not_free(host, port, error) from error
    return sockets


def _addresses(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    if host == "localhost":  # many machines name only one of the two, and a client may try the other
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def _listen(where: tuple[int, tuple[Any, ...]]) -> socket.socket:
    family, address = where
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address[0] != "::":  # which also takes IPv4
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening


def _not_free(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"expected a free address of this machine, got {host}:{port} ({error.strerror}); choose another --port"
    )


def url(host: str, port: int) -> str:
    """`http://host:port`, where a host may be an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
