"""A server answers as `wsra ground` does, number for number, whoever else asks and whatever goes wrong with other requests."""

from __future__ import annotations

import gc
import itertools
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from presences import upgrade

from wsra.runtime.archive.answer_json import answer_json
from wsra.runtime.archive.answering import Answered
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import SearchResults, search
from wsra.runtime.backends.ort import OrtBackend
from wsra.runtime.backends.settings import KernelName, RunSettings
from wsra.runtime.errors import BackendError, BundleError, ConfigError, DataError, FeatureError, QueryError, ServerError
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.serving import server as serving
from wsra.runtime.serving.server import Listener, Server

pytestmark = pytest.mark.device
FIXTURES = Path(__file__).parents[2] / "fixtures" / "v0.1.0"
PATIENCE_S = 300  # of whoever waits; only a server that hangs takes so long
SETTINGS = RunSettings("fp32", "cpu", threads=1)
BUS = Question(("the yellow bus",), top_k=3)
SEVERAL = Question(("the yellow bus", "a man walks", "someone opens a door"), top_k=4, false_alarms=1e9)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES, tmp_path / "old")
    upgrade(tmp_path / "old" / "bundle")
    (tmp_path / "old" / "yard").mkdir()
    for hour in (13, 14):
        shutil.copy(tmp_path / "old" / "features" / "val3.feat", tmp_path / "old" / "yard" / f"ch01_2026-11-23_{hour}-00-00.feat")
    return tmp_path / "old"


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    with Server(place / "bundle", SETTINGS) as opened:
        yield opened


def as_json(found: SearchResults) -> list[dict[str, Any]]:
    """All that `wsra ground --json` prints: moments, confidences, false alarms per hour, and the hours that were asked."""
    return [answer_json(result, found) for result in found.results]


def one_shot(place: Path, paths: list[Path], question: Question, between: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    return as_json(search(Request(paths, question, place / "bundle", SETTINGS, between)))


class Held:
    """Holds the server's thread within a request until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.free, self.asked = threading.Event(), threading.Event(), 0
        answer = serving.search_open

        def slow(opened: Any, request: Request, *, progress: Any, **known: Any) -> SearchResults:
            self.asked += 1
            self.entered.set()
            assert self.free.wait(PATIENCE_S)
            progress("files", 0, 1)
            return answer(opened, request, progress=progress, **known)

        monkeypatch.setattr(serving, "search_open", slow)


def test_answers_are_those_of_ground_number_for_number(place: Path, server: Server) -> None:
    asked: list[tuple[list[Path], Question, tuple[str, str] | None]] = [
        ([place / "features" / "val3.feat"], BUS, None),
        ([place / "features" / "val3.feat"], SEVERAL, None),
        ([place / "features"], SEVERAL, None),
        ([place / "yard", place / "features"], SEVERAL, None),
        ([place / "yard"], BUS, ("2026-11-23T14:00:00", "2026-11-23T15:00:00")),
    ]
    expected = [one_shot(place, *each) for each in asked]
    assert any(answer["found"] for answers in expected for answer in answers)
    with ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(server.ask, paths, question, between=between) for paths, question, between in asked * 3]
        assert [as_json(answer.result(PATIENCE_S)) for answer in answers] == expected * 3


def test_the_bundle_is_opened_once_and_closed_at_the_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, closed = [], []
    of_route, leave = Grounder.of_route.__func__, OrtBackend.__exit__  # type: ignore[attr-defined]

    def count(cls: type[Grounder], *given: Any, **options: Any) -> Grounder:
        opened.append(threading.current_thread().name)
        return of_route(cls, *given, **options)  # type: ignore[no-any-return]

    def note(graph: OrtBackend, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        closed.append(threading.current_thread().name)
        leave(graph, kind, error, trace)

    monkeypatch.setattr(Grounder, "of_route", classmethod(count))
    monkeypatch.setattr(OrtBackend, "__exit__", note)
    with pytest.raises(RuntimeError, match="of the block"), Server(place / "bundle", SETTINGS) as server:
        for _ in range(3):
            server.ask([place / "features" / "val3.feat"], BUS)
        assert closed == []
        raise RuntimeError("of the block")
    assert opened == ["wsra-server"] and closed == ["wsra-server"] * 2
    with pytest.raises(ServerError, match="the server is closed; ask within its block"):
        server.ask([place / "features" / "val3.feat"], BUS)


def test_an_error_of_one_request_is_that_of_no_other(place: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    feat, broken = place / "features" / "val3.feat", place / "broken.feat"
    broken.write_bytes(b"no features")
    expected = one_shot(place, [feat], BUS)
    held = Held(monkeypatch)
    answers: list[Future[SearchResults]] = [server.submit([feat], BUS)]
    wrong: list[tuple[type[Exception], Path, Question]] = [
        (DataError, place / "nothing", BUS),
        (Exception, broken, BUS),
        (QueryError, feat, Question(("",))),
        (ConfigError, feat, Question(("a bus",), plan="tracks")),
    ]
    refused = [(kind, server.submit([path], question)) for kind, path, question in wrong]
    answers.append(server.submit([feat], BUS))
    held.free.set()
    for kind, future in refused:
        with pytest.raises(kind):
            future.result(PATIENCE_S)
    assert [as_json(answer.result(PATIENCE_S)) for answer in answers] == [expected] * 2
    monkeypatch.setattr(Grounder, "answers_to_vectors", lambda *given, **options: 1 / 0)
    with pytest.raises(FeatureError, match="ZeroDivisionError"):
        server.ask([feat], SEVERAL)
    monkeypatch.undo()
    assert as_json(server.ask([feat], BUS)) == expected


def test_equal_requests_that_wait_are_answered_once(place: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    held, feat = Held(monkeypatch), place / "features" / "val3.feat"
    first = server.submit([feat], SEVERAL)
    assert held.entered.wait(PATIENCE_S)
    same = [server.submit([feat], BUS) for _ in range(5)]
    cancelled = server.submit([feat], BUS)
    assert cancelled.cancel()
    held.free.set()
    assert [as_json(future.result(PATIENCE_S)) for future in same] == [one_shot(place, [feat], BUS)] * 5 and first.result(
        PATIENCE_S
    ) is not None
    assert held.asked == 2


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_requests_that_differ_in_their_sentences_are_answered_by_one_search(
    place: Path, monkeypatch: pytest.MonkeyPatch, kernel: KernelName
) -> None:
    """Each hears and gets its own sentences only, number for number; a sentence that cannot be read is an error of its request only."""
    if kernel == "numba":
        pytest.importorskip("numba")
    settings = replace(SETTINGS, kernel=kernel)
    words = ("the yellow bus", "a man walks", "someone opens a door", "the yellow bus")
    questions = [Question((word,), top_k=3, false_alarms=1e9) for word in words]
    heard: list[list[Answered]] = [[] for _ in questions]
    with Server(place / "bundle", settings) as server:
        held, yard = Held(monkeypatch), place / "yard"
        first = server.submit([yard], BUS)
        assert held.entered.wait(PATIENCE_S)
        waiting = [
            server.submit_request(Request((yard,), question), listening=Listener(each=lambda seen, to=to: to.append(seen)))  # type: ignore
            for question, to in zip(questions, heard, strict=True)
        ]
        bad = server.submit([yard], Question(("",), top_k=3, false_alarms=1e9))
        others = [server.submit([yard], SEVERAL), server.submit([yard], replace(questions[0], top_k=1))]
        held.free.set()
        answers = [as_json(one.result(PATIENCE_S)) for one in (*waiting, *others)]
        with pytest.raises(QueryError):
            bad.result(PATIENCE_S)
        first.result(PATIENCE_S)
        assert held.asked == 1 + (1 + len(words) + 1) + 2  # of the five that join, each by itself after the one that cannot be read
        joined = [server.submit([yard], question) for question in questions]
        assert [as_json(one.result(PATIENCE_S)) for one in joined] == answers[:4]
    asked = [*questions, SEVERAL, replace(questions[0], top_k=1)]
    expected = [as_json(search(Request([yard], question, place / "bundle", settings))) for question in asked]
    assert answers == expected and any(answer["found"] for answer in expected[0])
    for seen, answer in zip(heard, answers, strict=False):
        assert all(len(of_recording) == 1 for one in seen for of_recording in one.seen)
        assert {tuple(each.moment.score for each in of[0].detections)[:1] for one in seen for of in one.seen} >= {
            (moment["score"],) for moment in answer[0]["moments"][:1]
        }


def test_more_than_may_wait_are_refused_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, feat = Held(monkeypatch), place / "features" / "val3.feat"
    with Server(place / "bundle", SETTINGS, most_waiting=2) as server:
        first = server.submit([feat], BUS)
        assert held.entered.wait(PATIENCE_S)
        waiting = [server.submit([feat], BUS), server.submit([feat], SEVERAL)]
        with pytest.raises(ServerError, match="2 requests wait already; ask again later"):
            server.submit([feat], BUS)
        held.free.set()
        assert all(future.result(PATIENCE_S).results for future in [first, *waiting])


def test_a_deadline_ends_a_request_that_waits_and_one_in_hand(place: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    held, feat = Held(monkeypatch), place / "features" / "val3.feat"
    now_s = [100.0]
    monkeypatch.setattr(serving, "monotonic", lambda: now_s[0])
    in_hand = server.submit([feat], BUS, deadline_s=0.05)
    assert held.entered.wait(PATIENCE_S)
    waits, patient = server.submit([feat], SEVERAL, deadline_s=0.05), server.submit([feat], SEVERAL)
    now_s[0] += 0.1
    held.free.set()
    for future in (in_hand, waits):
        with pytest.raises(ServerError, match="the deadline passed before there was an answer"):
            future.result(PATIENCE_S)
    assert patient.result(PATIENCE_S).results  # it is equal to the one that was late


def test_closing_refuses_what_has_no_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, feat = Held(monkeypatch), place / "features" / "val3.feat"
    server = Server(place / "bundle", SETTINGS)
    with server:
        futures = [server.submit([feat], BUS)]
        assert held.entered.wait(PATIENCE_S)
        futures.append(server.submit([feat], SEVERAL))
        futures[1].add_done_callback(lambda refused: held.free.set())  # what waits is refused first
    for future in futures:
        with pytest.raises(ServerError, match="the server was closed before it answered"):
            future.result(PATIENCE_S)


def test_new_files_of_a_folder_are_seen(place: Path, server: Server) -> None:
    before = server.ask([place / "features"], SEVERAL)
    shutil.copy(place / "features" / "val3.feat", place / "features" / "val9.feat")
    after = server.ask([place / "features"], SEVERAL)
    assert after.hours > before.hours
    assert as_json(after) == one_shot(place, [place / "features"], SEVERAL)


def test_a_bundle_that_cannot_be_opened(place: Path) -> None:
    server = Server(place / "nowhere", SETTINGS)
    with pytest.raises(BundleError, match="nowhere"), server:
        pass
    with pytest.raises(ServerError):
        server.submit([place / "features"], BUS)
    with pytest.raises(BackendError, match="engine"), Server(place / "bundle", RunSettings("fp32", "engine")):
        pass
    with pytest.raises(ConfigError, match="most_waiting is 0"):
        Server(place / "bundle", most_waiting=0)


def test_memory_stays_flat(place: Path, server: Server) -> None:
    """Python's blocks that are in use; benchmarks/server.py measures the process over thousands of requests."""
    feat = place / "features" / "val3.feat"

    def blocks_after(count: int) -> int:
        for _ in range(count):
            server.ask([feat], BUS)
        gc.collect()
        return sys.getallocatedblocks()

    blocks_after(40)
    blocks = [blocks_after(50) for _ in range(4)]
    grown = sorted(after - before for before, after in itertools.pairwise(blocks))
    assert grown[1] < 50, grown  # less than one block for each request; once, caches may grow
