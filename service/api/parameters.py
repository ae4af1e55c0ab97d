"""Refuses what a request asks for by a name that its route does not know."""

from __future__ import annotations

from difflib import get_close_matches

from fastapi import HTTPException, Request


async def only_known_parameters(request: Request) -> None:
    """A dependency of routes without parts to fill in: 422 where the query has a name that the route does not take.

    The text names the nearest of those that it does, as the OpenAPI description has them.
    """
    if not request.query_params:
        return
    operation = request.app.openapi()["paths"].get(request.scope["path"], {}).get(request.method.lower())
    if operation is None:
        return
    known = sorted(given["name"] for given in operation.get("parameters", ()) if given["in"] == "query")
    for name in request.query_params:
        if name not in known:
            (nearest,) = get_close_matches(name, known, 1, 0.0) or [""]
            raise HTTPException(
                422,
                f"expected parameters among {', '.join(known)}, got {name[:100]!r}; the nearest is {nearest!r}",
            )
