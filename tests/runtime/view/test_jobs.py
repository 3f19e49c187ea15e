"""Features that are made in the background are those of `wsra extract`; what is cancelled, fails or waits is what the page says."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

av = pytest.importorskip("av")
pytest.importorskip("cv2")
httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")
import numpy as np  # noqa: E402
from presences import upgrade  # noqa: E402
from served import served  # noqa: E402

import wsra.runtime.archive.videos as videos  # noqa: E402
import wsra.runtime.view.feeding.jobs as module  # noqa: E402
from handed import write_film  # noqa: E402
from wsra.runtime.archive.videos import open_backbone  # noqa: E402
from wsra.runtime.backends.choice import choose  # noqa: E402
from wsra.runtime.backends.settings import RunSettings  # noqa: E402
from wsra.runtime.device import this_device  # noqa: E402
from wsra.runtime.errors import BackboneError  # noqa: E402
from wsra.runtime.extraction.batch import extract_features  # noqa: E402
from wsra.runtime.formats.bundle import Bundle, open_bundle  # noqa: E402
from wsra.runtime.formats.features import read_features  # noqa: E402
from wsra.runtime.view.feeding.feeding import job_routes  # noqa: E402
from wsra.runtime.view.feeding.jobs import Jobs  # noqa: E402
from wsra.runtime.view.feeding.waiting import Queue  # noqa: E402
from wsra.runtime.view.library.library import Library  # noqa: E402
from wsra.runtime.view.library.listing import id_of  # noqa: E402

pytestmark = pytest.mark.device
BUNDLE = Path(__file__).parents[2] / "fixtures" / "v0.1.0" / "bundle"
PATIENCE_S = 300  # of whoever waits; it is only so long where something hangs
SETTINGS = RunSettings("fp32", "cpu", threads=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("bundle") / "bundle"
    shutil.copytree(BUNDLE, place)
    upgrade(place)
    return open_bundle(place, trust_unchanged=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", shown_ms=range(0, 10_000, 100))


@pytest.fixture
def root(tmp_path: Path, film: Path) -> Path:
    root = tmp_path / "root"
    for name in ("yard/a.mp4", "yard/b.mp4", "gate/c.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, root / name)
    return root


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", PATIENCE_S)  # a busy machine may take long for the second of video in hand


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def opened(root: Path, kept: Path, bundle: Bundle) -> Iterator[tuple[Library, Jobs]]:
    with page(root, kept, bundle) as both:
        yield both


@contextmanager
def page(root: Path, kept: Path, bundle: Bundle) -> Iterator[tuple[Library, Jobs]]:
    with Library([root], bundle) as library, Jobs(library, bundle, SETTINGS, queue=Queue([root], kept)) as jobs:
        yield library, jobs


def until(true: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def at_rest(jobs: Jobs) -> bool:
    state = jobs.state()
    return state["running"] is None and not state["waiting"]


def names(of: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in of]


def files(root: Path) -> list[str]:
    """All but the videos, also hidden ones."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".mp4")


class Slow:
    """Holds the extraction of videos of some names after their first second, until it or its name is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.entered, self.free = threading.Event(), threading.Event()
        self.tried: list[str] = []
        self.held = set(names)
        real = videos.extract_features

        def slow(path: Path, *, progress: Any, **given: Any) -> Any:
            self.tried.append(path.name)

            def seen(done: float, total: float | None) -> None:
                progress(done, total)
                if path.name in self.held and done >= 1:
                    self.entered.set()
                    while path.name in self.held and not self.free.is_set():
                        time.sleep(0.01)
                        progress(done, total)

            return real(path, progress=seen, **given)

        monkeypatch.setattr(videos, "extract_features", slow)


def test_features_are_those_of_extract_and_can_be_asked_at_once(
    root: Path, bundle: Bundle, opened: tuple[Library, Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    (library, jobs), slow = opened, Slow(monkeypatch, "a.mp4")
    assert len(library.listing().missing) == 3
    notified = threading.Event()
    with jobs.listening(notified.set):
        assert jobs.add(library.missing_in(id_of("d", root / "yard"))) == 2
        assert jobs.add(library.missing_in(id_of("d", root / "yard"))) == 0
        slow.free.set()
        until(lambda: jobs.state()["finished"] == 2)
    assert notified.is_set()
    assert jobs.state() == {
        **{"running": None, "waiting": [], "waiting_total": 0, "finished": 2},
        **{"failed": [], "failed_total": 0, "cancelled": 0},
    }
    assert files(root) == ["a.feat", "b.feat"]
    until(lambda: len(library.listing().footage) == 2)
    backbone = open_backbone(bundle, choose(bundle, this_device(gpu=0), SETTINGS), SETTINGS)
    expected = extract_features(root / "yard" / "a.mp4", backbone=backbone, snippet_s=bundle.manifest.snippet_s)
    made = read_features(root / "yard" / "a.feat")
    assert (made.rows(0, len(made)) == expected.rows(0, len(expected))).all() and (made.times_s == expected.times_s).all()
    assert made.backbone == bundle.manifest.backbone and np.isfinite(made.rows(0, len(made))).all()


def test_a_cancelled_video_leaves_nothing_and_the_next_goes_on(
    root: Path, kept: Path, bundle: Bundle, opened: tuple[Library, Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    library, jobs = opened
    slow = Slow(monkeypatch, "a.mp4", "c.mp4")
    assert jobs.add(library.missing_in(id_of("d", root))) == 3
    assert slow.entered.wait(PATIENCE_S)
    by_name = {one["name"]: one["id"] for one in [jobs.state()["running"], *jobs.state()["waiting"]]}
    assert set(by_name) == {"gate/c.mp4", "yard/a.mp4", "yard/b.mp4"}
    slow.entered.clear()
    slow.held.remove("c.mp4")
    assert slow.entered.wait(PATIENCE_S)
    running = jobs.state()["running"]
    assert running["name"] == "yard/a.mp4" and running["done_s"] >= 1 and running["total_s"] == pytest.approx(10, abs=0.2)
    assert jobs.cancel("j000000000000") == 0
    assert jobs.cancel(by_name["yard/a.mp4"]) == 1
    assert jobs.cancel(by_name["yard/a.mp4"]) == 0  # only once
    until(lambda: at_rest(jobs))
    assert files(root) == ["b.feat", "c.feat"] and jobs.state()["cancelled"] == 1 and jobs.state()["finished"] == 2
    assert jobs.state()["failed"] == []
    slow.entered.clear()
    until(lambda: len(library.listing().missing) == 1)
    assert jobs.add(library.missing_in(id_of("d", root))) == 1  # asked again
    assert slow.entered.wait(PATIENCE_S)
    slow.free.set()
    until(lambda: at_rest(jobs))
    assert files(root) == ["a.feat", "b.feat", "c.feat"]
    assert not list(kept.glob("*.json"))


def test_all_are_cancelled(root: Path, opened: tuple[Library, Jobs], monkeypatch: pytest.MonkeyPatch) -> None:
    library, jobs = opened
    slow = Slow(monkeypatch, "a.mp4", "b.mp4", "c.mp4")
    jobs.add(library.missing_in(id_of("d", root)))
    assert slow.entered.wait(PATIENCE_S)
    assert jobs.cancel() == 3
    until(lambda: at_rest(jobs))
    assert files(root) == [] and jobs.state()["cancelled"] == 3 and jobs.state()["finished"] == 0


def test_a_restart_goes_on_but_not_with_what_was_cancelled(root: Path, kept: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, "c.mp4")
    with page(root, kept, bundle) as (library, jobs):
        jobs.add(library.missing_in(id_of("d", root)))
        assert slow.entered.wait(PATIENCE_S) and jobs.state()["running"]["name"] == "gate/c.mp4"
        jobs.cancel(next(one["id"] for one in jobs.state()["waiting"] if one["name"] == "yard/a.mp4"))
    assert files(root) == []  # the page closed within the second of video in hand: nobody has let go of it
    slow.free.set()
    with page(root, kept, bundle) as (_, jobs):
        until(lambda: jobs.state()["finished"] == 2)
    assert files(root) == ["b.feat", "c.feat"]
    assert slow.tried == ["c.mp4", "c.mp4", "b.mp4"]
    with page(root, kept, bundle) as (_, jobs):
        assert at_rest(jobs) and jobs.state()["finished"] == 0


def test_a_restart_from_another_place_finds_the_folder_again(
    root: Path, kept: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = Slow(monkeypatch, "a.mp4")
    monkeypatch.chdir(root.parent)
    with page(Path("root"), kept, bundle) as (library, jobs):
        jobs.add(library.missing_in(id_of("d", root / "yard")))
        assert slow.entered.wait(PATIENCE_S)
    slow.free.set()
    monkeypatch.chdir(root / "gate")
    (tmp_path / "link").symlink_to(root)
    with page(tmp_path / "link", kept, bundle) as (_, jobs):
        until(lambda: jobs.state()["finished"] == 2)
    assert files(root) == ["a.feat", "b.feat"]


def test_what_was_kept_is_only_taken_where_it_fits(root: Path, kept: Path, bundle: Bundle, tmp_path: Path, film: Path) -> None:
    outside = tmp_path / "outside" / "x.mp4"
    outside.parent.mkdir()
    shutil.copy(film, outside)
    queue = Queue([root], kept)
    kept.mkdir()
    row = {"root": str(root), "path": str(root / "gone.mp4"), "reason": None, "state": None}
    rows = [
        row,
        row | {"path": str(outside)},
        row | {"path": str(root / ".." / "outside" / "x.mp4")},
        row | {"root": "/", "path": str(outside)},
    ]
    queue.file.write_text(json.dumps(rows))
    with page(root, kept, bundle) as (_, jobs):
        assert at_rest(jobs)
    for damaged in (
        "",
        "[",
        '{"a": 1}',
        "[1]",
        '[{"root": 3}]',
        json.dumps([row | {"state": ["x", 1]}]),
        json.dumps([row | {"path": "€"}]),
    ):
        queue.file.write_text(damaged)
        with page(root, kept, bundle) as (_, jobs):
            assert at_rest(jobs)
    assert not outside.with_suffix(".feat").exists()
    assert Queue([tmp_path], kept).file != queue.file


def test_a_video_that_fails_is_one_line_and_is_tried_again_when_it_changes_or_is_asked_for(
    root: Path, kept: Path, bundle: Bundle, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.05)
    whole = film.read_bytes()
    damaged = bytearray(whole)
    begin = damaged.index(b"mdat") + 4
    damaged[begin : damaged.index(b"moov", begin) - 8] = bytes(damaged.index(b"moov", begin) - 8 - begin)
    broken = root / "yard" / "a.mp4"
    broken.write_bytes(damaged)
    slow = Slow(monkeypatch)
    with page(root, kept, bundle) as (library, jobs):
        jobs.add(library.missing_in(id_of("d", root)))
        until(lambda: at_rest(jobs))
        state = jobs.state()
        assert state["finished"] == 2 and names(state["failed"]) == ["yard/a.mp4"]
        reason = state["failed"][0]["reason"]
        assert "a.mp4" in reason and "\n" not in reason and "damaged" in reason
        time.sleep(0.3)
        assert slow.tried.count("a.mp4") == 1  # not again by itself
        until(lambda: len(library.listing().missing) == 1)
        assert jobs.add(library.missing_in(id_of("d", root))) == 1
        until(lambda: at_rest(jobs) and slow.tried.count("a.mp4") == 2)
        assert names(jobs.state()["failed"]) == ["yard/a.mp4"]
    with page(root, kept, bundle) as (_, jobs):
        assert at_rest(jobs) and jobs.state()["failed"][0]["reason"] == reason and slow.tried.count("a.mp4") == 2
        broken.write_bytes(whole)
        until(lambda: jobs.state()["finished"] == 1)
        assert jobs.state()["failed"] == []
    assert files(root) == ["a.feat", "b.feat", "c.feat"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BackboneError("the encoder is damaged; convert it again"), "the encoder is damaged; convert it again"),
        (
            RuntimeError("of a library,\n in two lines"),
            r".*\.mp4: wsra did not expect this \(RuntimeError: of a library, in two lines\); .*",
        ),
    ],
)
def test_a_backbone_that_cannot_be_opened_fails_each_video(
    root: Path, opened: tuple[Library, Jobs], monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(videos, "open_backbone", refuse)
    library, jobs = opened
    jobs.add(library.missing_in(id_of("d", root)))
    until(lambda: at_rest(jobs))
    assert all(re.fullmatch(message, one["reason"]) for one in jobs.state()["failed"])
    assert jobs.state()["failed_total"] == 3


class Stream:
    """A client of the events, in a thread."""

    def __init__(self, address: str) -> None:
        self.states: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self._leave = False
        self._thread = threading.Thread(target=self._read, args=(address,))
        self._thread.start()

    def _read(self, address: str) -> None:
        with httpx.Client(timeout=PATIENCE_S) as client, client.stream("GET", address) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.states.append(json.loads(line[6:]))
                if self._leave:
                    break
        self.ended.set()

    def leave(self) -> None:
        self._leave = True

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert self.ended.is_set()


def test_over_http(root: Path, opened: tuple[Library, Jobs], monkeypatch: pytest.MonkeyPatch) -> None:
    library, jobs = opened
    slow, closing = Slow(monkeypatch, "a.mp4", "b.mp4"), asyncio.Event()
    with served(job_routes(jobs, closing)) as client:
        address = f"{client.base_url}/api/jobs"
        streams = [Stream(address) for _ in range(3)]
        until(lambda: all(stream.states for stream in streams))
        assert streams[0].states[0]["running"] is None and len(jobs._listeners) == 3
        library.listing()
        answer = client.post("/api/jobs", json={"folder": id_of("d", root / "yard")})
        assert (answer.status_code, answer.json()) == (202, {"added": 2})
        assert slow.entered.wait(PATIENCE_S)
        until(lambda: all((stream.states[-1]["running"] or {}).get("done_s", 0) >= 1 for stream in streams))
        streams[0].leave()
        streams[0].join()
        until(lambda: len(jobs._listeners) == 2)
        waiting = jobs.state()["waiting"][0]
        assert client.post("/api/jobs/cancel", json={"id": waiting["id"]}).json() == {"cancelled": 1}
        assert client.post("/api/jobs/cancel", json={}).json() == {"cancelled": 1}
        until(lambda: all(stream.states[-1]["cancelled"] == 2 for stream in streams[1:]))
        assert client.post("/api/jobs/cancel", json={}).json() == {"cancelled": 0}
        for way, body, status in [
            ("", b'{"folder": "d000000000000"}', 404),
            ("", b'{"folder": "/etc"}', 404),
            ("", b'{"folder": 3}', 400),
            ("", b"{}", 400),
            ("", b"[]", 400),
            ("", b"{", 400),
            ("", b'{"folder": "' + b"d" * 5000 + b'"}', 400),
            ("/cancel", b'{"id": 3}', 400),
            ("/cancel", b"\xff", 400),
        ]:
            refused = client.post(f"/api/jobs{way}", content=body)
            assert refused.status_code == status and "\n" not in refused.json()["message"], body
        for stream in streams[1:]:
            stream.leave()
        jobs.add(library.missing_in(id_of("d", root / "gate")))
        for stream in streams[1:]:
            stream.join()
        until(lambda: not jobs._listeners)
    assert "a.feat" not in files(root)


def test_names_that_are_no_text_are_kept(root: Path, kept: Path, bundle: Bundle, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, "c.mp4")
    strange = root / "gate" / "z \u2028<b>é.mp4"
    shutil.copy(film, strange)
    with page(root, kept, bundle) as (library, jobs):
        jobs.add(library.missing_in(id_of("d", root / "gate")))
        assert slow.entered.wait(PATIENCE_S)
        assert names(jobs.state()["waiting"]) == ["gate/z \u2028<b>é.mp4"]
    slow.free.set()
    with page(root, kept, bundle) as (_, jobs):
        until(lambda: jobs.state()["finished"] == 2)
    assert strange.with_suffix(".feat").exists()


def test_long_lists_are_cut_and_counted(root: Path, kept: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, "a.mp4", "b.mp4", "c.mp4")
    monkeypatch.setattr(module, "SHOWN", 1)
    with page(root, kept, bundle) as (library, jobs):
        jobs.add(library.missing_in(id_of("d", root)))
        assert slow.entered.wait(PATIENCE_S)
        state = jobs.state()
        assert len(state["waiting"]) == 1 and state["waiting_total"] == 2
