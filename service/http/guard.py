"""Keeps other sites' pages away from the microscope: who may ask, under which name, from which page."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}


class Guard:
    """ASGI middleware that checks Host, Origin and Sec-Fetch-Site on HTTP and WebSocket, and sets safe headers.

    A browser sends the name that it looked up as Host: a foreign name that was made to point here (DNS rebinding) is
    refused. It sends the asking page's site as Origin: pages of other sites are refused. Programs that are no browsers
    send no Origin.

    Args:
        hosts: names under which the service may be asked, beside the loopback's.
        origins: origins whose pages may ask, beside the service's own.
        any_address: also accept any literal IP address as Host; such a name cannot be rebound.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str], any_address: bool) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal is None:
            await self._app(scope, receive, _with_headers(send, scope))
        else:
            await JSONResponse({"detail": refusal}, 403)(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return f"expected a known host name, got {', '.join(hosts)[:200]!r}; add it to allowed_hosts"
        if origins and not (len(origins) == 1 and self._trusts(origins[0], hosts[0])):
            return f"expected a page of this service, got one of {', '.join(origins)[:200]!r}; see allowed_origins"
        # Without Origin, a browser still says when another site embeds us (an image, a script, a frame).
        embedded = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if embedded and not origins and (path.startswith("/api") or headers.get("sec-fetch-mode") != "navigate"):
            return "expected a request of this service's own page, got one that another site embeds"
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if name is None:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))

    def _trusts(self, origin: str, host: str) -> bool:
        scheme, _, rest = origin.lower().partition("://")
        return origin.lower() in self._origins or (scheme in ("http", "https") and rest == host.lower())


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send, scope: Scope) -> Send:
    """`send` with the headers that every HTTP answer carries; the API's answers are never kept by a cache."""
    if scope["type"] != "http":
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-cache" if scope["path"].startswith("/web") else "no-store")
        await send(message)

    return send_with_headers
