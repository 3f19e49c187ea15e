"""Connections of the page: one over which no request comes is closed, for it holds a place of the few that all clients share."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 20.0  # within which the head of a request must be complete


class Connection(H11Protocol):
    """HTTP/1.1 as uvicorn has it, which by itself waits for ever for a first request, and for one that was begun after another."""

    _waiting: asyncio.TimerHandle

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(REQUEST_S, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone away."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._waiting.cancel()
        self._waiting = self.loop.call_later(REQUEST_S, self._close_if_silent)
        super().on_response_complete()

    def _close_if_silent(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
