"""Server-sent events: what a stream says until it ends, its client goes away, or the page closes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_AGAIN_S = 0.1
ALIVE_S = 15.0  # a stream that has nothing to say says so this often, so that nothing between takes it for dead

Event = tuple[str, Any] | None  # name and value; None is the word that the stream lives
Events = AsyncGenerator[Event, None]


def as_json(value: Any) -> bytes:
    """JSON as ASCII: names of files may hold bytes that are no text, which UTF-8 cannot carry but an escape can."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


class Json(Response):
    """An answer as JSON.

    Args (constructor):
        content: the value.
        status_code: of HTTP.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return as_json(content)


class EventStream(Response):
    """A stream of events. When the client goes away or the page closes, the iterator of the events is closed.

    Args (constructor):
        events: what is sent.
        closing: set when the page closes.
    """

    media_type = "text/event-stream"

    def __init__(self, events: Events, closing: asyncio.Event) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._events, self._closing = events, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until one of the three ends comes."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        ends: set[asyncio.Task[Any]] = {sending, asyncio.create_task(gone(receive)), asyncio.create_task(self._closing.wait())}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(ends)
        if not sending.cancelled() and (error := sending.exception()) is not None and not isinstance(error, OSError):
            raise error
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        try:
            async for event in self._events:
                body = b": \n\n" if event is None else b"event: " + event[0].encode("ascii") + b"\ndata: " + as_json(event[1]) + b"\n\n"
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            await self._events.aclose()


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: before Python 3.12 `wait_for` loses a cancellation that comes together with what it waits for."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_AGAIN_S)


async def gone(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
