"""Bounds the bodies of requests, in a way that lets a client read why."""

from __future__ import annotations

from asyncio import timeout
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_DISCARDED = 1 << 28
_DISCARD_S = 5.0


class BodyLimit:
    """ASGI middleware: reading a body of more than `limit_mb` MiB ends in an HTTPException 413, chunked or not.

    What is still coming is read and thrown away first, within bounds: a client that is still sending when the
    connection closes never sees the answer.
    """

    def __init__(self, app: ASGIApp, limit_mb: int) -> None:
        self._app = app
        self._limit_mb = limit_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body counted."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit_mb << 20:
                if message.get("more_body", False):
                    await _discard(receive)
                raise HTTPException(
                    413, f"expected a body of at most {self._limit_mb} MiB, got a larger one; see max_upload_mb"
                )
            return message

        await self._app(scope, counted if scope["type"] == "http" else receive, send)


async def _discard(receive: Receive) -> None:
    left = _MOST_DISCARDED
    with suppress(TimeoutError):
        async with timeout(_DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
