"""Feeding over HTTP: what is being extracted as server-sent events, videos of a folder to extract, and videos to cancel."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wsra.runtime.errors import ConfigError, ServerError
from wsra.runtime.view.feeding.jobs import Jobs
from wsra.runtime.view.web.refusals import refusing
from wsra.runtime.view.web.streams import ALIVE_S, Events, EventStream, Json

PACE_S = 0.25  # between two events
_MOST_LISTENERS = 64
_MOST_BYTES = 4096  # of what is posted


def job_routes(jobs: Jobs, closing: asyncio.Event) -> list[BaseRoute]:
    """The routes of /api/jobs.

    Args:
        jobs: extracts.
        closing: set when the page closes.
    """
    listeners = 0

    async def events() -> Events:
        nonlocal listeners
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(news.set)

        listeners += 1
        try:
            with jobs.listening(tell):
                while True:
                    news.clear()
                    yield "jobs", await run_in_threadpool(jobs.state)
                    await asyncio.sleep(PACE_S)
                    while not await _within(news, ALIVE_S):
                        yield None
        finally:
            listeners -= 1

    async def listen(request: Request) -> Response:
        if listeners >= _MOST_LISTENERS:
            raise ServerError(f"{_MOST_LISTENERS} pages look at the videos that wait; close one")
        return EventStream(events(), closing)

    async def add(request: Request) -> Response:
        folder = (await _posted(request)).get("folder")
        if not isinstance(folder, str):
            raise ConfigError('the body names no folder; expected {"folder": its id}')
        return Json({"added": await run_in_threadpool(lambda: jobs.add(jobs.library.missing_in(folder)))}, 202)

    async def cancel(request: Request) -> Response:
        one = (await _posted(request)).get("id")
        if not (one is None or isinstance(one, str)):
            raise ConfigError('the body names no video; expected {"id": its id}, or {} for all')
        return Json({"cancelled": await run_in_threadpool(lambda: jobs.cancel(one))})

    return [
        Route("/api/jobs", refusing(listen), methods=["GET"]),
        Route("/api/jobs", refusing(add), methods=["POST"]),
        Route("/api/jobs/cancel", refusing(cancel), methods=["POST"]),
    ]


async def _within(news: asyncio.Event, seconds: float) -> bool:
    """Whether something comes within some time."""
    try:
        await asyncio.wait_for(news.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


async def _posted(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ConfigError: it is none, or too large.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise ConfigError(f"the body is larger than {_MOST_BYTES} bytes; expected a small JSON object")
    try:
        table = json.loads(body or b"{}")
    except ValueError as err:
        raise ConfigError(f"the body is not JSON ({err}); expected an object") from err
    if not isinstance(table, dict):
        raise ConfigError("the body is no JSON object; expected one")
    return table
