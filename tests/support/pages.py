"""The page of `wsra view` over an archive of several cameras: the application for a client within the process, or a real server."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from presences import upgrade

from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.view.running import Running, opened

PATIENCE_S = 300.0  # of whoever waits; it is only so long where something hangs
FIXTURES = Path(__file__).parents[1] / "fixtures" / "v0.1.0"
SETTINGS = RunSettings("fp32", "cpu", threads=1)
MARKUP = "<img src=x>"
HOURS = {"north/ch01": ("2026-11-23", (9, 13, 22)), "south/ch02": ("2026-11-24", (2, 13, 23)), f"south/{MARKUP}": ("2026-11-24", (14,))}


def write_archive(place: Path) -> tuple[Path, Path]:
    """Three cameras of which no two files are alike, a video with its features, one without, and a broken file.

    Returns:
        The archive and a bundle that finds everything in it.
    """
    archive, bundle = place / "archive", place / "bundle"
    shutil.copytree(FIXTURES / "bundle", bundle)
    upgrade(bundle)
    seed = 0
    for camera, (day, hours) in HOURS.items():
        for hour in hours:
            seed += 1
            feat = archive / f"{camera}_{day}_{hour:02d}-30-00.feat"
            feat.parent.mkdir(parents=True, exist_ok=True)
            write_features(feat, _features(seed, f"{feat.stem}.mp4"))
    shutil.copy(FIXTURES / "yard.mp4", archive)
    clip = _features(99, "yard.mp4")
    write_features(archive / "yard.feat", replace(clip, values=clip.values[:11], times_s=clip.times_s[:11], duration_s=11.915, extra={}))
    shutil.copy(FIXTURES / "yard.mp4", archive / "south" / "new.mp4")
    (archive / "broken.feat").write_bytes(b"no features")
    return archive, bundle


def _features(seed: int, video: str) -> Features:
    """The features of a rendered clip with some noise, of a video that is not here."""
    known = read_features(FIXTURES / "features" / "val3.feat")
    noise = np.random.default_rng(seed).normal(scale=0.3, size=known.values.shape)
    return replace(known, values=(known.values + noise).astype(np.float32), video=video)


@contextmanager
def page_over(roots: Sequence[Path], bundle: Path, *, host: str = "127.0.0.1") -> Iterator[tuple[Running, httpx.Client]]:
    """A page that a real server answers, in a thread, and a client of it."""
    with opened(roots, bundle, SETTINGS, host=host, port=0) as page:
        thread = threading.Thread(target=page.until_ended)
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{page.address.port}", timeout=PATIENCE_S) as client:
                yield page, client
        finally:
            page.should_exit = True
            thread.join()


@contextmanager
def asks_and_goes_away(client: httpx.Client, target: str) -> Iterator[None]:
    """A client that sends a request, reads nothing, and is gone at the end of the block."""
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port)) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode("ascii"))
        yield


def events(client: httpx.Client, path: str, **params: Any) -> list[tuple[str, Any]]:
    """All events of a stream, to its end."""
    with client.stream("GET", path, params=params) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        return events_in(answer.read().decode())


def events_in(text: str) -> list[tuple[str, Any]]:
    """The events of a text, without the comments that keep a stream alive."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def until(condition: Any, seconds: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)
