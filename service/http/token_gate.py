"""Lets in whoever knows the token, where the service can be reached from other machines."""

from __future__ import annotations

import hashlib
import hmac
import logging
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

_FOR_ALL = ("/health/live", "/health/ready")
_REFUSAL = (
    "expected the token that `qpi serve` prints, got none or another; send it as `Authorization: Bearer TOKEN`, or as "
    "?token=TOKEN for the page and the stream"
)
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>qpi-live</title><h1>This microscope asks for its token</h1>
<p>Open the link that <code>qpi serve</code> has printed: it ends with <code>?token=…</code>.</p></html>
"""
_log = logging.getLogger(__name__)


class TokenGate:
    """ASGI middleware: a token as `Authorization: Bearer`, as `?token=`, or as the cookie that the page's link leaves.

    Opening the page's link with the token sets the cookie and leads to the page's plain address, so that the token
    stays in no history. Health and the page's files, which say nothing of the microscope, are for all.

    Args:
        app: what is asked.
        token: the token; None lets everybody in.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token
        self._written = _ways_to_write(token or "")
        digest = hashlib.sha256((token or "").encode()).hexdigest()
        self._cookie = f"qpi-{digest[:8]}"  # two services on one machine share their cookies
        # A cookie may not hold every letter that a token may.
        self._cookie_value = hmac.digest((token or "").encode(), b"cookie", "sha256").hex()
        self._has_refused = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if self._token is None or scope["type"] not in ("http", "websocket") or _is_for_all(scope):
            await self._app(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        sent = [value for name, value in query if name == "token"]
        if sent:  # no parameter of the routes', and in nobody's log
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            scope = {**scope, "query_string": rest.encode()}
        is_page = scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) in ("/", "")
        is_said = any(self._is_token(one.encode()) for one in sent)
        if is_said and is_page and scope["method"] == "GET":
            await self._welcome()(scope, receive, send)
        elif is_said or self._is_in(Headers(scope=scope)):
            await self._app(scope, receive, send)
        else:
            await self._refuse(is_page)(scope, receive, send)

    def _is_in(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip(" \t").encode("latin-1")):
            return True
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            cookies.clear()
        kept = cookies[self._cookie].value if self._cookie in cookies else ""
        return hmac.compare_digest(kept.encode(), self._cookie_value.encode())

    def _is_token(self, sent: bytes) -> bool:
        return any(hmac.compare_digest(sent, written) for written in self._written)

    def _welcome(self) -> Response:
        answer = RedirectResponse("./", 303)
        answer.set_cookie(self._cookie, self._cookie_value, httponly=True, samesite="lax")
        return answer

    def _refuse(self, is_page: bool) -> Response:
        if not self._has_refused:
            self._has_refused = True
            _log.warning("refused a request without the token; further ones are not logged")
        headers = {"www-authenticate": "Bearer"}
        return HTMLResponse(_PAGE, 401, headers) if is_page else JSONResponse({"detail": _REFUSAL}, 401, headers)


def _ways_to_write(token: str) -> list[bytes]:
    """The token as links and most programs send it, and as scripts on pages write headers."""
    written = [token.encode()]
    with suppress(UnicodeEncodeError):
        written.append(token.encode("latin-1"))
    return written


def _is_for_all(scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return scope["type"] == "http" and (path in _FOR_ALL or path.startswith("/web/"))
