"""Routes of the page behind a real server on this machine, and an archive of films for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from handed import features_of
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.formats.features import write_features
from wsra.runtime.view.web.refusals import NotServed

PATIENCE_S = 300  # of whoever waits; it is only so long where something hangs


@contextmanager
def served(routes: Sequence[BaseRoute]) -> Iterator[httpx.Client]:
    """A client of a server with these routes."""
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="error", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + PATIENCE_S
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def write_features_of(video: Path, bundle: Bundle) -> Path:
    """Features of a film of `handed`, with its track, that a bundle takes for its own."""
    made = features_of(video)
    values = np.zeros((len(made), bundle.manifest.feature_width), np.float32)
    feat = video.with_suffix(".feat")
    write_features(feat, replace(made, values=values, backbone=bundle.manifest.backbone))
    return feat


class OneFolder:
    """The videos of a folder by name, as the library gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def video_of(self, video_id: str) -> Path:
        if not (self.folder / video_id).is_file():
            raise NotServed(f"no video of this page has the id {video_id!r}")
        return self.folder / video_id
