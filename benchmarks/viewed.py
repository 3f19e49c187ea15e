"""What the benchmarks of `wsra view` share: an archive, the page over it as a process of its own, and clients without a browser."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from math import inf, log
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
from made import CAMERAS, SENTENCES, made_camera

from wsra.runtime.archive.request import Question
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.formats.bundle import open_bundle, write_manifest
from wsra.runtime.serving.server import Server

BEGIN = datetime(2026, 11, 23)
TOP_K, BINS = 20, 1200  # as the page asks
WAIT_S = 60.0
WSRA = "import sys; from wsra.runtime.cli import main; main()"
_COLOURS = ("red", "white", "black", "blue", "yellow", "green", "grey", "small")
_KINDS = ("car", "van", "truck", "bus", "bicycle", "motorcycle", "dog", "man", "woman", "child")
_DEEDS = ("arrives from the left", "leaves on the right", "stops", "turns round", "crosses the picture", "waits at the gate")


def sentences(seed: int) -> list[str]:
    """Different ordinary sentences in an order of chance."""
    every = [f"a {colour} {kind} {deed}" for colour, kind, deed in product(_COLOURS, _KINDS, _DEEDS)]
    random.Random(seed).shuffle(every)
    return every


def made_archive(place: Path, bundle: Path, cameras: int, hours: int, threads: int) -> tuple[Path, Path]:
    """Write an hour of an ordinary camera into each .feat file, with its keys cached, as a first question leaves them.

    Args:
        place: a folder; what is there already is used again.
        bundle: one that takes rows of objects.
        cameras: how many.
        hours: of each.
        threads: of the questions that go before.

    Returns:
        The archive, and the bundle in which a sentence is as often true as that the tests' first one finds `TOP_K` moments.
    """
    archive, finding, rows = place / "archive", place / "finding", CAMERAS["ordinary"]
    if finding.is_dir():
        return archive, finding
    if open_bundle(bundle).manifest.span_score != "lives":
        raise SystemExit(f"{bundle}: its rows are snippets; expected a bundle that follows objects, such as the stock bundle")
    for camera, hour in product(range(cameras), range(hours)):
        name = f"north-{camera:02}"
        feat = archive / name / f"{name}_{BEGIN + timedelta(hours=hour):%Y-%m-%d_%H-%M-%S}.feat"
        feat.parent.mkdir(parents=True, exist_ok=True)
        made_camera(bundle, feat, 1.0, rows, seed=camera * hours + hour)
        os.utime(feat, (time.time() - 3600,) * 2)  # an archive is not of this second
    with Server(bundle, RunSettings(threads=threads)) as server:
        every = server.ask([archive], Question((SENTENCES[0],), top_k=TOP_K, false_alarms=inf))
    least, manifest = every.results[0].detections[-1].moment.presence, open_bundle(bundle).manifest
    presence = replace(manifest.presence, intercept=log(every.hours) - manifest.presence.slope * least)
    shutil.copytree(bundle, place / "half")
    write_manifest(place / "half", replace(manifest, presence=presence))
    (place / "half").rename(finding)
    return archive, finding


@dataclass
class Served:
    """A page that runs as a process of its own.

    Attributes:
        address: of the page, without a slash at its end.
        pid: of the process.
    """

    address: str
    pid: int

    def cpu_s(self) -> float:
        """Seconds of the processors that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> dict[str, float]:
        """Resident and anonymous memory, and open files."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = {label: int(status.split(f"{name}:")[1].split()[0]) * 1024 / 1e6 for label, name in _MEMORY.items()}
        return found | {"open files": float(sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()))}


_MEMORY = {"resident memory, MB": "VmRSS", "of it anonymous, MB": "RssAnon"}


@contextmanager
def served(roots: Sequence[Path], bundle: Path, threads: int, cache: Path) -> Iterator[Served]:
    """Open the page as a person does, wait until it says its address, and end it as Ctrl-C does."""
    command = [sys.executable, "-c", WSRA, "view", *map(str, roots), "-b", str(bundle), "--no-browser", "--port", "0"]
    said = (cache.parent / "view.log").open("w+", encoding="utf-8")
    process = subprocess.Popen(
        [*command, "--threads", str(threads)], stdout=said, stderr=said, env=os.environ | {"XDG_CACHE_HOME": str(cache)}
    )
    try:
        yield Served(_address(process, Path(said.name)), process.pid)
    finally:
        if (code := process.poll()) is not None:
            raise SystemExit(f"wsra view ended by itself with exit code {code}: {Path(said.name).read_text(encoding='utf-8')[-2000:]}")
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.close()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + WAIT_S
    while "Ctrl-C ends it" not in (text := log.read_text(encoding="utf-8")):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"wsra view did not open: {text}")
        time.sleep(0.02)
    return text.split("wsra view: ")[1].split()[0].rstrip("/")


class Client:
    """A client without a browser; each request has a connection of its own.

    Args (constructor):
        address: of the page.
    """

    def __init__(self, address: str) -> None:
        place = urlsplit(address)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WAIT_S)

    def get(self, path: str) -> Any:
        """JSON of an address."""
        return self._json("GET", path, None)

    def post(self, path: str, value: Any) -> Any:
        """Send JSON; what comes is JSON."""
        return self._json("POST", path, json.dumps(value))

    def ask(self, sentence: str, **more: Any) -> tuple[float | None, float, Any]:
        """Ask as the page does.

        Returns:
            Seconds to the first event with moments (None if the final answers were the first), seconds to the final answers, and these.

        Raises:
            RuntimeError: there is no answer.
        """
        begin_s, first_s, event = time.perf_counter(), None, ""
        self._connection.close()
        self._connection.request("GET", f"/api/ask?{urlencode({'q': sentence, 'top_k': TOP_K, 'bins': BINS} | more)}")
        answer, found = self._connection.getresponse(), None
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {answer.read()[:200]!r}")
        while line := answer.readline():
            if line.startswith(b"event: "):
                event = line[7:].strip().decode()
            elif line.startswith(b"data: ") and event != "progress":
                value = json.loads(line[6:])
                if event == "recording" and first_s is None and any(value["moments"]):
                    first_s = time.perf_counter() - begin_s
                elif event == "answers":
                    found, last_s = value, time.perf_counter() - begin_s
                elif event == "failed":
                    raise RuntimeError(value["message"])
        if found is None:
            raise RuntimeError("the stream ended without answers")
        return first_s, last_s, found

    def _json(self, method: str, path: str, body: str | None) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._connection.close()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: status {answer.status}: {text[:200]!r}")
        return json.loads(text)


def row(label: str, seconds: Sequence[float], more: str = "") -> str:
    """A row of a table: how many, p50, p99 and the longest, in milliseconds."""
    p50, p99, most = np.percentile(seconds, [50, 99, 100]) * 1000
    return f"| {label} | {len(seconds)} | {p50:.0f} | {p99:.0f} | {most:.0f} |{more}"
