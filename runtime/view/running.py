"""The page from its opening to its end: address, server, uvicorn."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn

from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.errors import ConfigError, DataError
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.serving.server import Server
from wsra.runtime.view.app import Page
from wsra.runtime.view.feeding.feeding import job_routes
from wsra.runtime.view.feeding.jobs import Jobs
from wsra.runtime.view.library.library import Library
from wsra.runtime.view.media.media import Media
from wsra.runtime.view.web.connections import Connection
from wsra.runtime.view.web.safety import Address, is_loopback

logger = logging.getLogger(__name__)

_LAST_S = 3  # how long downloads that run may go on when the page closes
_CONNECTIONS = 512


@contextmanager
def bound(host: str, port: int) -> Iterator[tuple[socket.socket, Address]]:
    """A socket that listens, and its address; one that other machines can reach has a token.

    Args:
        host: a name or an address.
        port: 0 for any that is free.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        kind, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(kind, socket.SOCK_STREAM)
    except OSError as err:
        raise ConfigError(f"--host {host}: {err.strerror or err}; expected a name or an address of this machine") from err
    with listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
        except OSError as err:
            raise ConfigError(
                f"port {port} of {host} cannot be had ({err.strerror or err}); take another one with --port, or 0 for any"
            ) from err
        token = None if is_loopback(str(place[0])) else secrets.token_urlsafe()
        yield listening, Address(host, listening.getsockname()[1], token)


class Running(uvicorn.Server):
    """The page, ready to be run.

    When it ends it ends its streams first, for they would go on for ever.

    Args (constructor):
        page: the application.
        closing: what its streams wait for.
        listening: the socket.
        address: of the socket.
    """

    def __init__(self, page: Page, closing: asyncio.Event, listening: socket.socket, address: Address) -> None:
        super().__init__(
            uvicorn.Config(
                page,
                loop="asyncio",
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_LAST_S,
            )
        )
        self.address, self._closing, self._listening = address, closing, listening
        reports = logging.getLogger("uvicorn")
        reports.handlers, reports.propagate = [_Reports(logging.WARNING)], False

    def until_ended(self) -> None:
        """Answer until SIGINT or SIGTERM comes, which is raised again at the end, or `should_exit` is set."""
        self.run(sockets=[self._listening])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Heed SIGINT and SIGTERM, but not where they were ignored before."""
        ignored = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is signal.SIG_IGN]
        with super().capture_signals():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then wait for what is being answered."""
        self._closing.set()
        await super().shutdown(sockets)


@contextmanager
def opened(roots: Sequence[Path], bundle: Path, settings: RunSettings, *, host: str, port: int) -> Iterator[Running]:
    """The page over some folders, with all that it owns.

    Args:
        roots: the folders.
        bundle: what answers.
        settings: how it runs.
        host: the address to bind.
        port: its port, or 0 for any that is free.

    Raises:
        ConfigError: the address cannot be had.
        DataError: a folder is not there.
        WsraError: the bundle cannot be used.
    """
    for root in roots:
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; expected one with videos or .feat files, or one that is to hold some")
    with ExitStack() as owned:
        listening, address = owned.enter_context(bound(host, port))
        held = open_bundle(bundle, trust_unchanged=True)
        library = owned.enter_context(Library(roots, held))
        server = owned.enter_context(Server(bundle, settings))
        media, jobs = Media(library), owned.enter_context(Jobs(library, held, settings))
        owned.callback(media.close)
        closing = asyncio.Event()
        page = Page(library, server, held, address, closing, [*media.routes(), *job_routes(jobs, closing)])
        yield Running(page, closing, listening, address)


class _Reports(logging.Handler):
    """What uvicorn reports, as one line each of wsra."""

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record, and the error that it is about."""
        error = record.exc_info[1] if record.exc_info else None
        said = record.getMessage().strip()
        logger.warning(said if error is None else f"{said}: {type(error).__name__}: {error}")
