"""What is handed over: report, clips, list and contact sheet of an answer, as `wsra ground` writes them, as downloads."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from wsra.runtime.archive.search import SearchResults
from wsra.runtime.errors import ConfigError, ServerError
from wsra.runtime.evidence.exhibits import Exhibit, Source, exhibits_of
from wsra.runtime.evidence.exports import PLAYLISTS, Exports, check, export
from wsra.runtime.serving.server import Server
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.questions.asked import Asked, read_asked
from wsra.runtime.view.questions.asking import Asking
from wsra.runtime.view.web.refusals import NotServed
from wsra.runtime.view.web.streams import gone

AT_ONCE = 2  # that are written; others wait
KINDS = ("report", "clips", "playlist", "picture")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".zip": "application/zip",
    ".png": "image/png",
    ".m3u8": "audio/x-mpegurl",
    ".edl": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}


_UNNEEDED = "nobody waits for this file any more, or the page closes"


class _StoppedError(BaseException):
    """Nobody needs the file. It is no Exception, because what reads a file makes messages about the file of those."""


class Handing:
    """Writes what is asked for into a folder of its own, which lives as long as the download.

    Args (constructor):
        server: what answers.
        library: the opened folders.
        closing: set when the page closes, which ends what is being written.
    """

    def __init__(self, server: Server, library: Library, closing: asyncio.Event) -> None:
        self._server, self._library, self._closing = server, library, closing
        self._free = asyncio.Semaphore(AT_ONCE)

    def endpoint(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        """What answers the requests for one of `KINDS`."""
        return partial(self._answer, kind)

    async def _answer(self, kind: str, request: Request) -> Response:
        """A file as a download.

        Raises:
            ConfigError: the query of the address is wrong.
            NotServed: a camera is unknown, or nothing was found that could be listed.
            ServerError: too many requests wait, or nobody waits for the file any more.
            WsraError: the answer or the file cannot be made.
        """
        asked = await run_in_threadpool(read_asked, request.query_params, self._library)
        folder, unneeded = Path(tempfile.mkdtemp(prefix="wsra-view-")), Event()
        watching = asyncio.create_task(self._watch(request, unneeded))
        try:
            exports = _exports(kind, request.query_params, folder)
            await run_in_threadpool(check, exports)
            async with self._free:
                found = await self._found(asked, watching)
                path = await run_in_threadpool(self._written, exports, found, asked, unneeded)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            watching.cancel()
        return _Download(path, folder)

    async def _watch(self, request: Request, unneeded: Event) -> None:
        """Wait until the client has gone away or the page closes, and say so to the thread that writes."""
        ends = {asyncio.create_task(gone(request.receive)), asyncio.create_task(self._closing.wait())}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            unneeded.set()
        finally:
            for task in ends:
                task.cancel()

    async def _found(self, asked: Asked, watching: asyncio.Task[None]) -> SearchResults:
        """The answer, unless nobody waits for it any more."""
        waiting = asyncio.create_task(Asking(self._server, self._library, asked, strips=False).found())
        try:
            await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ServerError(_UNNEEDED)
            return waiting.result()
        finally:
            waiting.cancel()

    def _written(self, exports: Exports, found: SearchResults, asked: Asked, unneeded: Event) -> Path:
        def go_on(what: str, done: float, total: float | None) -> None:
            if unneeded.is_set():
                raise _StoppedError

        exhibits = [self._safe(exhibit) for exhibit in exhibits_of(found.results)]
        alarms = asked.request.question.false_alarms
        try:
            export(exports, exhibits, found, false_alarms=alarms, command=asked.command, progress=go_on)
        except _StoppedError:
            raise ServerError(_UNNEEDED) from None
        path = exports.report or exports.playlist or exports.picture
        if exports.clips is not None:
            path = _zipped(exports.clips)
        if path is None or not path.exists():
            raise NotServed("nothing was found whose video is here, so there is nothing to hand over")
        return path

    def _safe(self, exhibit: Exhibit) -> Exhibit:
        """An exhibit without the videos to which a link leads out of the opened folders."""
        parts = tuple(replace(part, source=self._safe_source(part.source)) for part in exhibit.parts)
        return replace(exhibit, parts=parts)

    def _safe_source(self, source: Source) -> Source:
        if source.file is None or self._library.holds(source.file):
            return source
        return Source(source.video, source.feat, None, f"{source.file.name} is a link that leads out of the opened folders")


def _exports(kind: str, params: QueryParams, folder: Path) -> Exports:
    if kind == "report":
        return Exports(report=folder / "wsra-report.html")
    if kind == "clips":
        return Exports(clips=folder / "wsra-clips")
    if kind == "picture":
        return Exports(picture=folder / "wsra-moments.png")
    ending = f".{params.get('kind', '')}"
    if ending not in PLAYLISTS:
        raise ConfigError(f"kind is {params.get('kind', '')[:40]!r}; expected {', '.join(one[1:] for one in PLAYLISTS)}")
    return Exports(playlist=folder / f"wsra-moments{ending}")


def _zipped(folder: Path) -> Path | None:
    """A folder as a ZIP beside it; None where it is empty. Clips are compressed already."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        return None
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder.parent))
            file.unlink()
    return path


class _Download(FileResponse):
    """A file that is sent and then removed with its folder."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path, filename=path.name, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-store"})
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
