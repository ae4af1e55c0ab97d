"""Answers as they leave: large ones in slices, as many at a time as fit into memory; `HEAD` as `GET` without one."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SLICE = 256 << 10
_MOST_ON_THE_WAY = 256 << 20


class PacedBodies:
    """ASGI middleware: a client that reads slowly holds one slice in the server's buffers, not its whole answer.

    Answers that are on the way to clients take at most 256 MiB in all; the next one is 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._on_the_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def paced(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # goes with the first of the body, which may have to be refused
                return
            body = message.get("body", b"")
            first, start = start, None
            if len(body) <= _SLICE:
                if first is not None:
                    await send(first)
                await send(message)
                return
            if first is not None and self._on_the_way + len(body) > _MOST_ON_THE_WAY:
                sentence = "expected fewer answers on their way, and there are as many as fit; try again soon"
                await JSONResponse({"detail": sentence}, 503, {"retry-after": "1"})(scope, receive, send)
                return
            self._on_the_way += len(body)
            try:
                if first is not None:
                    await send(first)
                await _send_slices(message, memoryview(body), send)
            finally:
                self._on_the_way -= len(body)

        await self._app(scope, receive, paced)


async def _send_slices(message: Message, body: memoryview, send: Send) -> None:
    last = (len(body) - 1) // _SLICE
    for index in range(last + 1):
        part = bytes(body[index * _SLICE : (index + 1) * _SLICE])
        more = index < last or message.get("more_body", False)
        await send({"type": "http.response.body", "body": part, "more_body": more})


class HeadAsGet:
    """ASGI middleware: wherever `GET` is answered, so is `HEAD`, with the same headers and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, without_body)
