"""The page as an application: its routes, and what an error of a request becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from wsra.runtime.errors import WsraError
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.vocabulary import vocabulary_in
from wsra.runtime.serving.server import Server
from wsra.runtime.view.library.about import about
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.library.placing import place_of
from wsra.runtime.view.questions.asked import LATEST_S, read_asked
from wsra.runtime.view.questions.asking import UNEXPECTED, Asking
from wsra.runtime.view.questions.handing import KINDS, Handing
from wsra.runtime.view.web.refusals import NotServed, number, refusal
from wsra.runtime.view.web.safety import Address, Safety
from wsra.runtime.view.web.streams import EventStream, Json

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


class Page:
    """The application, which uvicorn runs.

    Args (constructor):
        library: the opened folders.
        server: what answers.
        bundle: of the server.
        address: where the page is served.
        closing: set when the page closes, which ends its streams.
        more: further routes: of videos and of jobs.
    """

    def __init__(
        self, library: Library, server: Server, bundle: Bundle, address: Address, closing: asyncio.Event, more: Sequence[BaseRoute] = ()
    ) -> None:
        self._library, self._server, self._bundle, self._closing = library, server, bundle, closing
        self._vocabulary = vocabulary_in(bundle)
        self._handing = Handing(server, library, closing)
        files = sorted(path for path in STATIC.rglob("*") if path.suffix in _TYPES)
        self._static = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in files}
        routes = [
            Route("/", self._index),
            Route("/static/{name:path}", self._file),
            Route("/api/archive", self._archive),
            Route("/api/ask", self._ask),
            Route("/api/strips", self._strips),
            Route("/api/at", self._at),
            *(Route(f"/api/{kind}", self._handing.endpoint(kind)) for kind in KINDS),
            *more,
        ]
        handlers = {WsraError: _refused, HTTPException: _http_error, Exception: _unexpected}
        self._app = Safety(Starlette(routes=routes, exception_handlers=handlers), address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request as ASGI has it."""
        await self._app(scope, receive, send)

    async def _index(self, request: Request) -> Response:
        return self._static_file("index.html")

    async def _file(self, request: Request) -> Response:
        return self._static_file(request.path_params["name"])

    def _static_file(self, name: str) -> Response:
        """A file that was read at the start; a name that is not among theirs is none."""
        if name not in self._static:
            raise NotServed(f"the page has no file {name[:80]!r}")
        kind = _TYPES[Path(name).suffix]
        return Response(self._static[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    async def _archive(self, request: Request) -> Response:
        listing = await run_in_threadpool(self._library.listing)
        return Json(about(self._bundle, self._vocabulary, listing))

    async def _at(self, request: Request) -> Response:
        at_s = number(request, "at", least=0.0, most=LATEST_S)
        near_s = number(request, "near", least=0.0, most=LATEST_S, default=1.0)
        return Json(await run_in_threadpool(place_of, self._library, request.query_params.get("camera", ""), at_s, near_s))

    async def _ask(self, request: Request) -> Response:
        return await self._stream(request, answers=True)

    async def _strips(self, request: Request) -> Response:
        return await self._stream(request, answers=False)

    async def _stream(self, request: Request, *, answers: bool) -> Response:
        asked = await run_in_threadpool(read_asked, request.query_params, self._library)
        asking = Asking(self._server, self._library, asked, strips=True)
        return EventStream(asking.events(answers=answers), self._closing)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, WsraError)
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Json({"message": f"{request.method} {request.url.path[:80]}: {error.detail}"}, error.status_code, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """An error of wsra itself; uvicorn reports it, because Starlette raises it again."""
    return Json({"message": UNEXPECTED}, 500)
