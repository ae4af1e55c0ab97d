"""The WebSocket stream: each client gets the newest frame it can take, and delays nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial

import anyio
from fastapi import WebSocket, WebSocketDisconnect
from qpi_live.service.http.websocket_protocol import ClientStuck
from qpi_live.service.line.audience import AudienceFull, Choice, Listener, choose
from qpi_live.service.line.layers import LayerMissing, message
from qpi_live.service.line.rate_limit import RateLimit
from qpi_live.service.line.state import State
from qpi_live.service.station import Station
from starlette.responses import JSONResponse

CLIENT_GONE = "client gone"
CLIENT_STUCK = "client stuck"
SERVER_STOPPED = "server stopped"
_log = logging.getLogger(__name__)


async def stream(websocket: WebSocket, station: Station) -> None:
    """Serve one client until it leaves, gets stuck, or the service stops."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop may be closed already while the last frame comes in
            loop.call_soon_threadsafe(arrived.set)

    try:
        choice = choose(dict(websocket.query_params), Choice(), station.camera_shape)
        address = f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "unknown"
        listener = station.audience.join(address, choice, wake)
    except (ValueError, AudienceFull) as error:
        status = 422 if isinstance(error, ValueError) else 503
        await websocket.send_denial_response(JSONResponse({"detail": str(error)}, status))
        return
    reason = SERVER_STOPPED
    try:
        await websocket.accept()
        async with anyio.create_task_group() as tasks:

            async def watch(ending: Awaitable[str]) -> None:
                nonlocal reason
                reason = await ending
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch, _send(websocket, listener, station, arrived))
            tasks.start_soon(watch, _listen(websocket, listener, station))
    finally:
        station.audience.leave(listener, reason)


async def _send(websocket: WebSocket, listener: Listener, station: Station, arrived: asyncio.Event) -> str:
    """Send the newest frame again and again; returns why that ended."""
    loop, mailbox, account = asyncio.get_running_loop(), listener.mailbox, listener.mailbox.account
    limit = RateLimit()
    while True:
        arrived.clear()
        live = mailbox.take()
        if live is None:
            await arrived.wait()
            continue
        choice = listener.choice
        if not limit.admits(loop.time(), choice.max_fps):
            account.dropped("rate limit")
            continue
        fate, has_layer = "internal error", True
        try:
            for view in choice.views:
                fate = "internal error"
                encode = partial(message, live, view, station.latencies, station.baseline)
                data = await loop.run_in_executor(station.encoders, encode)
                fate = CLIENT_GONE
                await websocket.send_bytes(data)  # type: ignore[arg-type]  # a bytes-like will do
            fate = ""
        except WebSocketDisconnect as error:
            fate = CLIENT_STUCK if isinstance(error.__context__, ClientStuck) else CLIENT_GONE
            return fate
        except LayerMissing:
            has_layer = False
        except asyncio.CancelledError:
            fate = CLIENT_GONE
            raise
        except Exception:
            _log.exception("frame %d could not be sent", live.frame.sequence)
        finally:
            if not has_layer:
                account.dropped("no such layer")
            elif fate:
                account.failed(fate)
            else:
                account.delivered()


async def _listen(websocket: WebSocket, listener: Listener, station: Station) -> str:
    """Take new choices; a bad one is answered with a sentence and changes nothing. Returns why that ended."""
    while True:
        received = await websocket.receive()
        if received["type"] == "websocket.disconnect":
            return CLIENT_GONE
        try:
            listener.choice = choose(_object(received.get("text")), listener.choice, station.camera_shape)
        except ValueError as error:
            with suppress(WebSocketDisconnect, RuntimeError):
                await websocket.send_json({"error": str(error)})
            continue
        # While nothing new comes, the new choice is shown on the frame that stands.
        latest = station.hub.latest
        if latest is not None and station.pipeline.state.name is not State.LIVE:
            listener.mailbox.offer(latest)


def _object(text: str | None) -> dict[str, object]:
    expected = 'expected a JSON object such as {"layer": "wrapped"}'
    if text is None:
        raise ValueError(f"{expected}, got a binary message")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{expected}, got {text[:60]!r}") from None
    if not isinstance(given, dict):
        raise ValueError(f"{expected}, got {text[:60]!r}")
    return given
