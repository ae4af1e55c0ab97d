"""The WebSocket stream: each client gets the newest frame when it has read the last one, and delays nobody.

`docs/stream.md` says what travels.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from concurrent.futures import CancelledError as EncodingCancelled
from contextlib import suppress
from functools import partial
from time import time_ns
from typing import Any

import anyio
from fastapi import WebSocket, WebSocketDisconnect
from qpi_live.service.http.websocket_protocol import STUCK, ClientStuck
from qpi_live.service.line.live import LiveFrame
from qpi_live.service.line.state import State
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations, UnknownCamera
from qpi_live.service.viewing.audience import AudienceFull, Choice, Listener, choose
from qpi_live.service.viewing.doorbell import doorbell
from qpi_live.service.viewing.layers import NotShown
from qpi_live.service.viewing.rate_limit import RateLimit
from qpi_live.service.viewing.worker import WorkerClosed
from starlette.responses import JSONResponse

CLIENT_GONE = "client gone"
CLIENT_STUCK = "client stuck"
SERVER_STOPPED = "server stopped"
_RESTART = 1012  # the close code of a server that stops
_WARNING_PERIOD_S = 1.0
# Starlette raises the second to whoever sends after another task has met the first.
_GONE = (WebSocketDisconnect, RuntimeError)
_REFUSED = {ValueError: 422, UnknownCamera: 404, AudienceFull: 503}
_log = logging.getLogger(__name__)


async def stream(websocket: WebSocket, stations: Stations) -> None:
    """Serve one client until it leaves, gets stuck, or the service stops."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()

    try:
        wanted: dict[str, object] = dict(websocket.query_params)
        wanted.pop("camera", None)
        station = stations.at(websocket.query_params.get("camera"))
        choice = choose(wanted, Choice(), station.camera_shape)
        address = f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "unknown"
        listener = station.audience.join(address, choice, partial(doorbell.ring, loop, arrived))
    except (ValueError, UnknownCamera, AudienceFull) as error:
        status = next(status for kind, status in _REFUSED.items() if isinstance(error, kind))
        with suppress(WebSocketDisconnect):
            await websocket.send_denial_response(JSONResponse({"detail": str(error)}, status))
        return
    viewer = _Viewer(websocket, listener, station, arrived)
    try:
        await viewer.serve()
    finally:
        station.audience.leave(listener, viewer.ending or SERVER_STOPPED)


class _Viewer:
    """One client, and the three tasks that serve it: they send frames, tell news, and hear what it wants.

    Attributes:
        ending: why the connection ended; empty before.
    """

    def __init__(self, websocket: WebSocket, listener: Listener, station: Station, arrived: asyncio.Event) -> None:
        self.ending = ""
        self._websocket = websocket
        self._listener = listener
        self._station = station
        self._arrived = arrived
        self._may_send = asyncio.Event()  # cleared while a client with credit has not asked for the next frame
        self._may_send.set()
        self._news = asyncio.Event()
        self._warning = ""
        self._complaint = ""

    async def serve(self) -> None:
        """Serve until one of the tasks ends."""
        try:
            await self._websocket.accept()
        except WebSocketDisconnect:  # gone before the handshake was over
            self.ending = CLIENT_GONE
            return
        async with anyio.create_task_group() as tasks:

            async def until_over(task: Awaitable[str]) -> None:
                ending = await task
                self.ending = self.ending or ending
                tasks.cancel_scope.cancel()

            for task in (self._tell(), self._send_frames(), self._listen()):
                tasks.start_soon(until_over, task)

    async def _send_frames(self) -> str:
        """Send the newest frame again and again; returns why that ended."""
        loop, limit, account = asyncio.get_running_loop(), RateLimit(), self._listener.mailbox.account
        while True:
            await self._may_send.wait()
            live = await self._newest()
            choice = self._listener.choice
            if not limit.admits(loop.time(), choice.max_fps):
                account.dropped("rate limit")
                continue
            began_ns = time_ns()
            messages = await self._encode(live, choice)
            if messages and (ending := await self._send(messages, choice.credit)):
                return ending
            if messages:
                self._station.audience.note_sent(self._listener, live.sequence, choice, began_ns)

    async def _newest(self) -> LiveFrame:
        """The newest frame, now in flight; where its layers take a worker that is busy, the newest by then."""
        mailbox, live = self._listener.mailbox, None
        try:
            while True:
                self._arrived.clear()
                newer = mailbox.take()
                if newer is not None:
                    if live is not None:
                        mailbox.account.dropped("superseded")
                    live = newer
                if live is None:
                    await self._arrived.wait()
                elif not await self._station.others.until_free(live, self._listener.choice.views):
                    return live
        except asyncio.CancelledError:
            if live is not None:
                mailbox.account.dropped("unsubscribed")
            raise

    async def _encode(self, live: LiveFrame, choice: Choice) -> list[bytearray]:
        """The frame in all views of the choice, or none of them, counted with its reason."""
        account = self._listener.mailbox.account
        try:
            return [await self._station.encoders.message(live, view) for view in choice.views]
        except NotShown as missing:
            account.dropped(missing.reason)
            self._warn(str(missing))
        except (WorkerClosed, EncodingCancelled):
            account.failed(SERVER_STOPPED)
        except asyncio.CancelledError:
            account.failed(self.ending or SERVER_STOPPED)
            raise
        except Exception as error:
            account.failed("internal error")
            if self._complaint != repr(error):  # once, not at the camera's rate
                _log.exception("frame %d could not be sent", live.frame.sequence)
            self._complaint = repr(error)
        return []

    async def _send(self, messages: list[bytearray], has_credit: bool) -> str:
        """Send a frame's messages; returns why the connection ended, if it did."""
        account = self._listener.mailbox.account
        if has_credit:
            self._may_send.clear()
        try:
            for number, message in enumerate(messages, 1):
                is_to_confirm = number == len(messages) and not has_credit
                await self._websocket.send({"type": "websocket.send", "bytes": message, "confirm": is_to_confirm})
        except _GONE as error:
            fate = CLIENT_STUCK if isinstance(error.__context__, ClientStuck) else CLIENT_GONE
            account.failed(fate)
            return fate
        except asyncio.CancelledError:
            account.failed(self.ending or SERVER_STOPPED)
            raise
        account.delivered()
        return ""

    def _warn(self, sentence: str) -> None:
        """Tell the client why nothing comes; once, until it chooses anew or the reason changes."""
        if sentence != self._warning:
            self._warning = sentence
            self._news.set()

    async def _tell(self) -> str:
        """Send the line's status at once and whenever it changes, and warnings; returns why that ended."""
        board, told, warned = self._station.board, None, ""
        with board.watched(self._news), suppress(*_GONE):
            while True:
                self._news.clear()
                status = board.look()
                if status != told:
                    await self._websocket.send_json({"status": status.model_dump(mode="json")})
                    told = status
                if self._warning not in ("", warned):
                    await self._websocket.send_json({"warning": self._warning})
                    await asyncio.sleep(_WARNING_PERIOD_S)  # a reason with a number in it may change with every frame
                warned = self._warning
                await self._news.wait()
        return CLIENT_GONE

    async def _listen(self) -> str:
        """Take new choices; a bad one is answered with a sentence and changes nothing. Returns why that ended."""
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                if received.get("reason") == STUCK:
                    return CLIENT_STUCK
                return SERVER_STOPPED if received.get("code") == _RESTART else CLIENT_GONE
            try:
                self._hear(_object(received.get("text")))
            except ValueError as error:
                with suppress(*_GONE):
                    await self._websocket.send_json({"error": str(error)})

    def _hear(self, given: dict[str, Any]) -> None:
        ready = given.pop("ready", None)
        if ready is not None and ready is not True:
            raise ValueError(f"ready: expected true, got {json.dumps(ready)[:60]}")
        if ready:
            given = {"credit": True, **given}
        before, self._listener.choice = (
            self._listener.choice,
            choose(given, self._listener.choice, self._station.camera_shape),
        )
        if ready or not self._listener.choice.credit:
            self._may_send.set()
        if self._listener.choice == before:
            return
        self._warning = ""
        # While nothing new comes, the new choice is shown on the frame that stands.
        latest = self._station.hub.latest
        if latest is not None and self._station.pipeline.state.name is not State.LIVE:
            self._listener.mailbox.offer(latest)


def _object(text: str | None) -> dict[str, Any]:
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
