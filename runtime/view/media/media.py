"""Videos, excerpts, pictures and boxes over HTTP. An id that the library does not know is a 404; no path comes from a client."""

from __future__ import annotations

from asyncio import shield, wrap_future
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from wsra.runtime.drawing.boxes import Box, path_of
from wsra.runtime.errors import ConfigError, FeatureError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.limits import MOST_S
from wsra.runtime.formats.features import read_features
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.media.excerpts import LONGEST_S, Excerpts
from wsra.runtime.view.media.playable import playable
from wsra.runtime.view.media.stills import Stills, Wanted
from wsra.runtime.view.web.refusals import in_bounds, number, refusing

Result = TypeVar("Result")

_FINDS, _LOOKS = 8, 4  # threads that find files at the same time, and that look into them, which takes longer
_WIDTH = (16, 1920)
_KINDS = {
    **{".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/matroska"},
    **{".avi": "video/x-msvideo", ".ts": "video/mp2t", ".mpg": "video/mpeg", ".mpeg": "video/mpeg"},
}
_CHECKED = {"cache-control": "private, no-cache"}  # a browser may keep it, and asks whether it is still the same


class Media:
    """The endpoints; owns the excerpts and the pictures that are kept.

    Args (constructor):
        library: knows what the ids stand for.
        excerpts: None for those in the user's cache folder.
        stills: None for the usual limit of memory.
    """

    def __init__(self, library: Library, excerpts: Excerpts | None = None, stills: Stills | None = None) -> None:
        self._library = library
        self._excerpts, self._stills = excerpts or Excerpts(), stills or Stills()
        self._finds, self._looks = CapacityLimiter(_FINDS), CapacityLimiter(_LOOKS)

    def close(self) -> None:
        """Stop what is being decoded and encoded."""
        self._excerpts.close()
        self._stills.close()

    def routes(self) -> list[BaseRoute]:
        """The routes below /media."""
        return [
            Route("/media/excerpts/{name}.mp4", refusing(self._excerpt_file)),
            Route("/media/{video}", refusing(self._video)),
            Route("/media/{video}/info", refusing(self._info)),
            Route("/media/{video}/excerpt", refusing(self._excerpt)),
            Route("/media/{video}/still.jpg", refusing(self._still)),
            Route("/media/{video}/boxes", refusing(self._boxes)),
        ]

    async def _find(self, task: Callable[[], Result]) -> Result:
        return await to_thread.run_sync(task, limiter=self._finds)

    async def _look(self, task: Callable[[], Result]) -> Result:
        return await to_thread.run_sync(task, limiter=self._looks)

    def _path(self, request: Request) -> Path:
        return self._library.video_of(request.path_params["video"])

    async def _video(self, request: Request) -> Response:
        path = await self._find(lambda: self._path(request))
        return await self._file(path, _KINDS.get(path.suffix.lower(), "application/octet-stream"))

    async def _excerpt_file(self, request: Request) -> Response:
        path = await self._find(lambda: self._excerpts.file_of(request.path_params["name"]))
        return await self._file(path, "video/mp4")

    async def _file(self, path: Path, kind: str) -> Response:
        def find() -> Response:
            if not path.is_file():  # to open a pipe would wait for whoever writes into it
                raise VideoError(f"{path}: not a regular file; expected a video")
            with one_file(path, VideoError), path.open("rb"):  # what cannot be read is refused before an answer begins
                return _File(path, media_type=kind, headers=_CHECKED, stat_result=path.stat())

        return await self._find(find)

    async def _info(self, request: Request) -> Response:
        def look() -> dict[str, object]:
            path = self._path(request)
            seen = playable(path)
            size = {"duration_s": seen.duration_s, "width": seen.width, "height": seen.height}
            return {"playable": not seen.why, "why": seen.why, **size, "name": path.name}

        return JSONResponse(await self._look(look))

    async def _excerpt(self, request: Request) -> Response:
        start_s = number(request, "start", least=0, most=MOST_S)
        end_s = number(request, "end", least=0, most=MOST_S)
        if not 0 < end_s - start_s <= LONGEST_S:
            raise ConfigError(f"an excerpt from second {start_s:g} to {end_s:g}; expected an end at most {LONGEST_S:g} s after its start")
        made = await _done(await self._look(lambda: self._excerpts.excerpt(self._path(request), start_s, end_s)))
        url = f"/media/excerpts/{made.name}.mp4"
        return JSONResponse({"url": url, "start_s": made.start_s, "end_s": made.end_s, "copied": made.copied})

    async def _still(self, request: Request) -> Response:
        width = int(number(request, "width", least=_WIDTH[0], most=_WIDTH[1], default=_WIDTH[1]))
        wanted = Wanted(round(number(request, "t", least=0, most=MOST_S), 3), width, _box(request.query_params.get("box")))

        def find() -> tuple[str, Future[bytes] | None]:
            path = self._path(request)
            tag = f'"{self._stills.tag(path, wanted)}"'
            return tag, None if request.headers.get("if-none-match") == tag else self._stills.picture(path, wanted)

        tag, picture = await self._find(find)
        headers = {**_CHECKED, "etag": tag}
        if picture is None:
            return Response(status_code=304, headers=headers)
        return Response(await _done(picture), media_type="image/jpeg", headers=headers)

    async def _boxes(self, request: Request) -> Response:
        track = number(request, "track", least=0, most=2**31 - 1)

        def look() -> list[list[float]]:
            feat = self._library.feat_of(request.path_params["video"])
            with one_file(feat, FeatureError):
                path = path_of(read_features(feat), int(track))
                if path is None:
                    return []
                rows = zip(path.times_s, path.boxes, strict=True)
                return [[round(float(value), 4) for value in (time_s, *box)] for time_s, box in rows]

        return JSONResponse({"boxes": await self._look(look)})


class _File(FileResponse):
    """A file as it was when it was asked for: what a recorder adds to it meanwhile is left to the next request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI has it, with no more bytes than were announced."""
        left = 0

        async def announced(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                left = int(Headers(raw=message["headers"]).get("content-length", 0))
            elif message["type"] == "http.response.body":
                body = message.get("body", b"")[:left]
                left -= len(body)
                message = {**message, "body": body}
            await send(message)

        await super().__call__(scope, receive, announced)


async def _done(future: Future[Result]) -> Result:
    """Wait for what a thread makes; a client that goes away takes it from nobody else."""
    return await shield(wrap_future(future))


def _box(text: str | None) -> Box | None:
    """A box as left, top, right and bottom, shares of the picture.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    sides = [in_bounds("each side of box", side, least=0, most=1) for side in text.split(",")[:5]]
    if len(sides) != 4 or not (sides[0] < sides[2] and sides[1] < sides[3]):
        raise ConfigError(f"box is {text[:80]!r}; expected left,top,right,bottom as shares of the picture from 0 to 1")
    left, top, right, bottom = (round(side, 4) for side in sides)
    return left, top, right, bottom
