"""The web application around one line, or several."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from qpi_live.models.errors import EngineBusy, EngineError
from qpi_live.service.api.averaging_routes import router as averaging_router
from qpi_live.service.api.camera_routes import answer_camera_errors
from qpi_live.service.api.camera_routes import router as camera_router
from qpi_live.service.api.camera_window import router as window_router
from qpi_live.service.api.cell_file_routes import router as cell_files
from qpi_live.service.api.description import describe_further
from qpi_live.service.api.focus_routes import router as focus_router
from qpi_live.service.api.measure_routes import router as measure_router
from qpi_live.service.api.playing_routes import router as playing_router
from qpi_live.service.api.recording_routes import answer_recording_errors
from qpi_live.service.api.recording_routes import router as recording_router
from qpi_live.service.api.region_routes import router as region_router
from qpi_live.service.api.routes import health, router
from qpi_live.service.api.sent_frames import CLIENT_GONE, TAKE_FILES
from qpi_live.service.api.sent_frames import router as sent_frames
from qpi_live.service.api.stream import stream
from qpi_live.service.http.bodies import HeadAsGet, PacedBodies
from qpi_live.service.http.body_limit import BodyLimit
from qpi_live.service.http.bounded_threads import Busy
from qpi_live.service.http.guard import Guard
from qpi_live.service.http.token_gate import TokenGate
from qpi_live.service.line.tuning import NotTunable
from qpi_live.service.names import EVERYWHERE, published_host
from qpi_live.service.sent.task import SentError, SentTooLarge
from qpi_live.service.station import Station
from qpi_live.service.stations import Stations, UnknownCamera
from qpi_live.service.view import Layer
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

API = "/api/v1"
_WEB = Path(__file__).parents[1] / "web"
_ABOUT = f"""
Live phase of an off-axis quantitative phase microscope.

**Stream.** WebSocket `{API}/stream?layer=phase&dtype=float32&max_fps=0&downscale=1` sends one binary message per frame:
16 bytes of preamble (magic `QPIF`, version, reserved, header length, payload length; little-endian), a JSON header with
the fields of `FrameHeader`, the array. `layer` is {Layer.listed()}; `dtype` float32 (exact values) or
uint8 (a preview, value = offset + scale × payload; `lo` and `hi` set its range). With `beside=interferogram` each frame
comes as two messages, that layer of the same frame right after the first. A client may send a JSON object with
any of these at any time to change what it gets.

**Several cameras** that run at once are listed at `{API}/cameras`; the parameter `camera=NAME` of any request, the
stream's included, says which line is meant. Without it, it is the first.

**Errors** are 4xx or 5xx with one sentence in `detail`; a request that failed has changed nothing.
"""


def build_app(lines: Station | Stations) -> FastAPI:
    """The application; the lines run while the application does."""
    stations = lines if isinstance(lines, Stations) else Stations([lines])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with stations.running():
            yield

    settings = stations.settings
    is_everywhere = settings.host in EVERYWHERE
    own_names = [] if is_everywhere else [settings.host]
    if settings.published_at is not None and published_host(settings.published_at) not in EVERYWHERE:
        own_names.append(published_host(settings.published_at))
    guard = Middleware(
        Guard,
        hosts=(*own_names, *settings.allowed_hosts),
        origins=settings.allowed_origins,
        any_address=is_everywhere,
    )
    app = FastAPI(
        title="qpi-live",
        version=version("qpi-live"),
        description=_ABOUT,
        lifespan=lifespan,
        middleware=[
            Middleware(HeadAsGet),
            guard,
            Middleware(TokenGate, token=settings.token),
            Middleware(PacedBodies),
            Middleware(BodyLimit, limit_mb=settings.max_upload_mb, files_at=[API + path for path in TAKE_FILES]),
        ],
        docs_url=None,  # its page loads scripts from a CDN
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
    )
    app.state.stations = stations
    _answer_errors(app)
    answer_camera_errors(app)
    answer_recording_errors(app)
    app.include_router(health)
    app.include_router(router, prefix=API)
    app.include_router(camera_router, prefix=API)
    app.include_router(cell_files, prefix=API)  # before the cells: they take any last part for an id
    app.include_router(measure_router, prefix=API)
    app.include_router(region_router, prefix=API)
    app.include_router(averaging_router, prefix=API)
    app.include_router(focus_router, prefix=API)
    app.include_router(recording_router, prefix=API)
    app.include_router(window_router, prefix=API)
    app.include_router(playing_router, prefix=API)
    app.include_router(sent_frames, prefix=API)

    @app.websocket(f"{API}/stream")
    async def _stream(websocket: WebSocket) -> None:
        await stream(websocket, stations)

    @app.get("/metrics", tags=["health"], response_class=Response, summary="Prometheus metrics")
    def _metrics() -> Response:
        return Response(generate_latest(stations.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    def _page() -> FileResponse:
        return FileResponse(_WEB / "index.html", headers={"cache-control": "no-cache"})

    describe_further(app)
    app.mount("/web", StaticFiles(directory=_WEB), name="web")
    return app


def _answer_errors(app: FastAPI) -> None:
    """Whatever goes wrong on purpose is answered with one sentence in `detail`."""

    def answer(status: int, sentence: str) -> JSONResponse:
        return JSONResponse({"detail": sentence}, status)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return answer(422, f"{where}: {first['msg']}, got {str(first.get('input'))[:100]!r}")

    @app.exception_handler(EngineBusy)
    async def _engine_busy(_: Request, error: EngineBusy) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"retry-after": "1"})

    @app.exception_handler(EngineError)
    async def _engine(_: Request, error: EngineError) -> JSONResponse:
        return answer(422, str(error))

    @app.exception_handler(SentError)
    async def _sent(_: Request, error: SentError) -> JSONResponse:
        return answer(413 if isinstance(error, SentTooLarge) else 422, str(error))

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return answer(CLIENT_GONE, "the client hung up")

    @app.exception_handler(NotTunable)
    async def _not_tunable(_: Request, error: NotTunable) -> JSONResponse:
        return answer(409, str(error))

    @app.exception_handler(UnknownCamera)
    async def _unknown_camera(_: Request, error: UnknownCamera) -> JSONResponse:
        return answer(404, str(error))

    @app.exception_handler(Busy)
    async def _busy(_: Request, error: Busy) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"retry-after": "1"})

    @app.exception_handler(Exception)
    async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
        return answer(500, f"the service failed unexpectedly ({type(error).__name__}); its log has the details")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        sentence = str(error.detail)
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == 405:
            allowed = sorted(_methods_at(app, request.scope["path"]) | set(headers.get("allow", "").split(", ")) - {""})
            allowed = sorted({*allowed, "HEAD"}) if "GET" in allowed else allowed
            headers["allow"] = ", ".join(allowed)
            sentence = f"expected {' or '.join(allowed)} here, got {request.method}"
        elif error.status_code == 400 and "parsing the body" in sentence:
            sentence = "expected JSON in UTF-8 as the body, got something else"
        return JSONResponse({"detail": sentence}, error.status_code, headers)


def _methods_at(app: FastAPI, path: str) -> set[str]:
    """All that is answered at `path`, whichever route does it."""
    described: dict[str, dict[str, object]] = app.openapi()["paths"]
    return {
        method.upper()
        for template, methods in described.items()
        if compile_path(template)[0].match(path)
        for method in methods
    }
