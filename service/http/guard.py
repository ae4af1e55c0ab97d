"""Keeps other sites' pages away from the microscope: who may ask, under which name, from which page."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from qpi_live.service.names import host_name, is_address, origin
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}
_EXPOSED = "QPI-Frame, Content-Disposition, Retry-After"
_MOST_LOGGED = 100
_log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware that checks Host, Origin and Sec-Fetch-Site on HTTP and WebSocket, and sets safe headers.

    A browser sends the name that it looked up as Host: a foreign name that was made to point here (DNS rebinding) is
    refused. It sends the asking page's site as Origin. Pages of other sites are refused, but for those of `origins`,
    which are told that they may read the responses (CORS). Programs that are no browsers send no Origin. The page's own
    files are no secret, and no Origin is asked for them: behind a proxy that changes Host it is another one. Each
    refusal is logged once.

    Args:
        hosts: names under which the service may be asked, beside the loopback's.
        origins: origins whose pages may ask, beside the service's own.
        any_address: also accept any literal IP address as Host; such a name cannot be rebound.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str], any_address: bool) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host_name(host) for host in hosts}
        self._origins = {origin(one) for one in origins}
        self._any_address = any_address
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_file = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/web/")
        refusal = self._refusal(headers, scope["path"], is_file)
        asking = headers.get("origin", "").lower()
        allowed = asking if asking in self._origins else ""
        if refusal is not None:
            self._log_once(refusal)
            await JSONResponse({"detail": refusal}, 403)(scope, receive, send)
        elif allowed and scope.get("method") == "OPTIONS" and "access-control-request-method" in headers:
            answer = Response(status_code=204, headers=_PREFLIGHT)
            if "access-control-request-private-network" in headers:
                answer.headers["access-control-allow-private-network"] = "true"
            await answer(scope, receive, _with_headers(send, scope, allowed))
        else:
            await self._app(scope, receive, _with_headers(send, scope, allowed))

    def _refusal(self, headers: Headers, path: str, is_file: bool) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return f"expected a known host name, got {', '.join(hosts)[:200]!r}; add it to allowed_hosts"
        if origins and not is_file and not (len(origins) == 1 and self._trusts(origins[0], hosts[0], headers)):
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
        name = name.rstrip(".")
        return name in self._hosts or (self._any_address and is_address(name))

    def _trusts(self, asking: str, host: str, headers: Headers) -> bool:
        scheme, _, rest = asking.lower().partition("://")
        is_own = scheme in ("http", "https") and rest == host.lower()
        # A proxy may have changed Host; what the browser says of the two no page can forge.
        return asking.lower() in self._origins or is_own or headers.get("sec-fetch-site") == "same-origin"

    def _log_once(self, refusal: str) -> None:
        if refusal not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(refusal)
            _log.warning("refused a request: %s", refusal)


def _with_headers(send: Send, scope: Scope, allowed_origin: str) -> Send:
    """`send` with the headers that every HTTP answer carries; the API's answers are never kept by a cache."""
    if scope["type"] != "http":
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-cache" if scope["path"].startswith("/web") else "no-store")
            if allowed_origin:
                headers["access-control-allow-origin"] = allowed_origin
                headers["access-control-expose-headers"] = _EXPOSED
                headers.add_vary_header("Origin")
        await send(message)

    return send_with_headers
