"""Refusals: a status and one plain sentence where something cannot be answered. And the reading of numbers that a client sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from math import isfinite

from starlette.requests import Request
from starlette.responses import Response

from wsra.runtime.errors import (
    ConfigError,
    DataError,
    FeatureError,
    MissingExtraError,
    OutputError,
    QueryError,
    ServerError,
    VideoError,
    WsraError,
)
from wsra.runtime.view.web.streams import Json


class NotServed(WsraError):  # noqa: N818 (a word of the page's contract)
    """An id that stands for nothing here, or for what is not served: unknown, gone, or outside of the folders that were opened."""


_STATUS: dict[type[WsraError], int] = {
    NotServed: 404,
    ConfigError: 400,
    QueryError: 400,
    DataError: 400,
    VideoError: 422,
    FeatureError: 422,
    MissingExtraError: 503,
    OutputError: 503,
    ServerError: 503,
}

Endpoint = Callable[[Request], Awaitable[Response]]


def refusal(err: WsraError) -> Response:
    """An error as an answer: 400 for what was asked, 404 for what is not here, 422 for a file that cannot be used, 503 for this machine."""
    status = next((code for kind, code in _STATUS.items() if isinstance(err, kind)), 500)
    return Json({"message": str(err)}, status)


def refusing(answer: Endpoint) -> Endpoint:
    """An endpoint whose errors become answers."""

    @wraps(answer)
    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except WsraError as err:
            return refusal(err)

    return endpoint


def number(request: Request, name: str, *, least: float, most: float, default: float | None = None) -> float:
    """A number of the query of a request.

    Raises:
        ConfigError: it is missing, or not between `least` and `most`.
    """
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    return in_bounds(name, text, least=least, most=most)


def in_bounds(name: str, text: str | None, *, least: float, most: float) -> float:
    """A text as a number.

    Raises:
        ConfigError: it is none between `least` and `most`.
    """
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not (isfinite(value) and least <= value <= most):
        came = "nothing" if text is None else repr(text[:40])
        raise ConfigError(f"{name} is {came}; expected a number from {least:g} to {most:g}")
    return value
