"""Bounds the bodies of requests in size and time, in a way that lets a client read why."""

from __future__ import annotations

from asyncio import get_running_loop, timeout_at
from collections.abc import Collection
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PLAIN_KB = 64
"""Largest body where no file is expected: JSON, which is parsed on the event loop."""
_PLAIN_S = 10.0
_MOST_DISCARDED = 1 << 28
_DISCARD_S = 5.0


class BodyLimit:
    """ASGI middleware: reading a body that is too large ends in an HTTPException 413, chunked or not.

    What is still coming is read and thrown away first, within bounds. A client that is still sending when the
    connection closes never sees the response. A small body that does not come whole within 10 s ends in 408.

    Args:
        app: what is asked.
        limit_mb: the largest body, in MiB, where files are expected.
        files_at: the paths where they are; everywhere else a body has at most `PLAIN_KB` KiB.
    """

    def __init__(self, app: ASGIApp, limit_mb: int, files_at: Collection[str]) -> None:
        self._app = app
        self._limit_mb = limit_mb
        self._files_at = frozenset(files_at)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        takes_file = scope["path"].removeprefix(scope.get("root_path", "")) in self._files_at
        most, said = (
            (self._limit_mb << 20, f"{self._limit_mb} MiB, got a larger one; see max_upload_mb")
            if takes_file
            else (PLAIN_KB << 10, f"{PLAIN_KB} KiB here, got a larger one; only frames may be larger")
        )
        seen, is_whole = 0, False
        until = None if takes_file else get_running_loop().time() + _PLAIN_S

        async def counted() -> Message:
            nonlocal seen, is_whole
            if is_whole:
                return await receive()
            try:
                async with timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"expected the whole body within {_PLAIN_S:.0f} s, got a part of it") from None
            seen += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if seen > most:
                if not is_whole:
                    await _discard(receive)
                raise HTTPException(413, f"expected a body of at most {said}")
            return message

        await self._app(scope, counted, send)


async def _discard(receive: Receive) -> None:
    left = _MOST_DISCARDED
    with suppress(TimeoutError):
        async with timeout_at(get_running_loop().time() + _DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
