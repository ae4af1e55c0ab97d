"""A span for each request, in the trace of the program that asks, where it says one."""

from __future__ import annotations

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BESIDE = ("/health", "/metrics", "/web")  # asked for every few seconds, and told nothing of frames
_FIRST_FAULT = 500


def _template(scope: Scope) -> str:
    """The path with the names of its parts in their places, so that requests of a kind have one name."""
    route: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        route = route.replace(str(value), f"{{{name}}}")
    return route


class RequestTraces:
    """ASGI middleware that traces requests by HTTP. Queries are left out: the token may stand in one.

    FastAPI in newer versions has one of its own, which sends the query, too.

    Args:
        app: what answers.
        tracer: where spans are made.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"].startswith(_BESIDE):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        facts = {"http.request.method": method, "url.path": scope["path"]}
        context = self._propagator.extract(headers)
        span = self._tracer.start_span(method, context, SpanKind.SERVER, facts)
        status = _FIRST_FAULT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if scope.get("route") is not None:
                route = _template(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if status >= _FIRST_FAULT:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
