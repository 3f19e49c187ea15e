"""Answers of the page are those of `wsra ground`, number for number, whoever else asks and whatever becomes of other clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("av")
import numpy as np
from pages import MARKUP, PATIENCE_S, SETTINGS, asks_and_goes_away, events, page_over, until, write_archive
from typer.testing import CliRunner

from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import search
from wsra.runtime.archive.strips import StripWindow
from wsra.runtime.cli import app_of
from wsra.runtime.formats.wallclock import from_iso, instant
from wsra.runtime.serving import server as serving
from wsra.runtime.view.library.listing import id_of

pytestmark = pytest.mark.device
SENTENCES = ("the yellow bus", "a man walks")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_archive(tmp_path_factory.mktemp("asking"))


@pytest.fixture(scope="module")
def client(archive: tuple[Path, Path]) -> Iterator[Any]:
    with page_over([archive[0]], archive[1]) as (_, client):
        yield client


def ground(archive: tuple[Path, Path], tmp_path: Path, *options: str, queries: tuple[str, ...] = SENTENCES) -> list[dict[str, Any]]:
    """What `wsra ground --json` prints; a broken file makes its exit code 1."""
    (tmp_path / "queries.txt").write_text("\n".join(queries))
    asked = ["ground", str(archive[0]), "-b", str(archive[1]), "--queries", str(tmp_path / "queries.txt"), "--json", "--no-extract"]
    done = CliRunner().invoke(app_of(["ground"]), [*asked, "--precision", "fp32", "--provider", "cpu", "--threads", "1", *options])
    assert done.exit_code == 1, done.output
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def answers(client: Any, **params: Any) -> list[dict[str, Any]]:
    """The answers of the page without what only the page says."""
    found = events(client, "/api/ask", q=SENTENCES, **params)
    assert found[-1][0] == "answers", found[-1]
    for answer in found[-1][1]["answers"]:
        for moment in (*answer["moments"], *([answer["best_candidate"]] if answer["best_candidate"] else [])):
            for key in ("camera_id", "parts", "epoch_s"):
                del moment[key]
    return found[-1][1]["answers"]  # type: ignore[no-any-return]


CH01, CH02, MARKED = "north/ch01", "south/ch02", f"south/{MARKUP}"
NIGHT = {"daily_from": "22:00", "daily_to": "06:00"}
DAY = {"from": "2026-11-23T12:00", "to": "2026-11-24T13:30:08"}
FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"top_k": 3}, ["--top-k", "3"]),
    ({"camera": [CH01]}, ["--camera", CH01]),
    ({"camera": [CH02, MARKED]}, ["--camera", CH02, "--camera", MARKED]),
    (DAY, ["--between", DAY["from"], DAY["to"]]),
    (NIGHT, ["--daily", "22:00", "06:00"]),
    (DAY | NIGHT | {"camera": [CH01, CH02]}, ["--between", *DAY.values(), "--daily", "22:00", "06:00", "--camera", CH01, "--camera", CH02]),
    ({"false_alarms": 2.5}, ["--false-alarms", "2.5"]),
    ({"from": "2020-01-01T00:00", "to": "2020-01-02T00:00"}, ["--between", "2020-01-01T00:00", "2020-01-02T00:00"]),
]


@pytest.mark.parametrize(("params", "options"), FILTERS, ids=lambda given: " ".join(given) if isinstance(given, list) else "")
def test_answers_are_those_of_ground(
    client: Any, archive: tuple[Path, Path], tmp_path: Path, params: dict[str, Any], options: list[str]
) -> None:
    ids = {"camera": [id_of("c", name) for name in params["camera"]]} if "camera" in params else {}
    options = options if "--top-k" in options else [*options, "--top-k", "20"]
    assert answers(client, **(params | ids)) == ground(archive, tmp_path, *options)


def test_a_moment_says_where_it_is_seen_and_when(client: Any, archive: tuple[Path, Path]) -> None:
    found = events(client, "/api/ask", q="the yellow bus", top_k=100)
    (answer,) = found[-1][1]["answers"]
    assert found[-1][1]["left_out"][0]["file"].endswith("broken.feat") and answer["found"]
    assert {moment["camera"] for moment in answer["moments"]} == {CH01, CH02, MARKED, None}
    for moment in answer["moments"]:
        assert moment["camera_id"] == id_of("c", moment["camera"] or moment["video"])
        assert moment["parts"][0]["start_s"] == moment["start_s"] and moment["parts"][-1]["end_s"] == moment["end_s"]
        here = moment["camera"] is None
        assert moment["parts"][0]["video"] == (id_of("v", archive[0] / "yard.feat") if here else None)
        start = None if moment["start_time"] is None else from_iso(moment["start_time"])
        assert moment["epoch_s"] == (None if start is None else instant(start).timestamp())


def test_moments_come_before_the_answer_and_strips_are_those_of_the_search(client: Any, archive: tuple[Path, Path]) -> None:
    window = {"strip_from": instant(from_iso("2026-11-23T09:30:00")).timestamp(), "bins": 7}  # type: ignore[arg-type]
    window["strip_to"] = window["strip_from"] + 34
    found = events(client, "/api/ask", q=SENTENCES, **window)
    assert found[-1][0] == "answers" and {name for name, _ in found} == {"progress", "recording", "answers"}
    heard = [value for name, value in found if name == "recording"]
    first = [moment for one in heard for moment in one["moments"][0]]
    assert sorted(moment["score"] for moment in first)[::-1][:20] == [one["score"] for one in found[-1][1]["answers"][0]["moments"]]
    strips = {(strip["query"], strip["camera"]): strip for one in heard for strip in one["strips"]}
    question = Question(SENTENCES, window=StripWindow(window["strip_from"], window["strip_to"], 7))
    curve = search(Request([archive[0] / "north" / "ch01_2026-11-23_09-30-00.feat"], question, archive[1], SETTINGS)).results[1].curves[0]
    strip = strips[1, id_of("c", CH01)]
    assert (strip["first"], len(strip["values"])) == (0, 4)  # the file lasts 17 s, half of the window
    bins = np.floor(curve.times_s[:, 0] / (34 / 7)).astype(int)
    for number, value in enumerate(strip["values"]):
        reached = (curve.times_s[:, 0] < (number + 1) * 34 / 7) & (curve.times_s[:, 1] > number * 34 / 7)
        assert value == pytest.approx(curve.curve[reached].max(), abs=6e-4) and (bins == number).any()
    assert (1, id_of("c", CH02)) not in strips and (0, id_of("c", "yard.mp4")) in strips
    zoomed = events(client, "/api/strips", q=SENTENCES, **window)
    assert zoomed[-1] == ("done", {}) and all(value["moments"] == [] for name, value in zoomed if name == "recording")
    assert strip in [one for name, value in zoomed if name == "recording" for one in value["strips"]]


def test_ten_clients_at_once_get_right_answers(client: Any, archive: tuple[Path, Path]) -> None:
    asked = [{"top_k": number % 4 + 1} | (NIGHT if number % 2 else {}) for number in range(20)]
    expected = [answers(client, **params) for params in asked]
    assert expected[0] != expected[1] != expected[2]
    with ThreadPoolExecutor(10) as clients:
        assert list(clients.map(lambda params: answers(client, **params), asked)) == expected


WRONG = [
    ({}, 400, "got 0 sentences; expected 1 to 8"),
    ({"q": ["x"] * 9}, 400, "got 9 sentences"),
    ({"q": "x", "top_k": "101"}, 400, "expected a number from 1 to 100"),
    ({"q": "x", "top_k": "1.5"}, 400, "expected a whole number"),
    ({"q": "x", "bins": "4097"}, 400, "expected a number from 1 to 4096"),
    ({"q": "x", "bins": "nan"}, 400, "expected a number from 1 to 4096"),
    ({"q": "x", "from": "2026-11-23T12:00"}, 400, "got only one of from and to"),
    ({"q": "x", "from": "22:00", "to": "23:00"}, 400, "expected a date and time"),
    ({"q": "x", "daily_from": "2026-11-23T12:00", "daily_to": "2026-11-24T12:00"}, 400, "expected"),
    ({"q": "x", "from": "2026-11-24T12:00", "to": "2026-11-23T12:00"}, 400, "the end is not after the start"),
    ({"q": "x", "false_alarms": "0"}, 400, "false_alarms"),
    ({"q": "x", "strip_from": "9", "strip_to": "8"}, 400, "expected an end after the start"),
    ({"q": "x", "camera": "north/ch01"}, 404, "no camera of this page has the id"),
    ({"q": "x", "camera": "../.."}, 404, "no camera of this page has the id"),
    ({"q": "x", "camera": "c" * 5000}, 404, f"no camera of this page has the id {'c' * 40!r}; load"),
]


def test_a_place_of_a_strip_is_a_second_of_a_video(client: Any, archive: tuple[Path, Path]) -> None:
    yard = {"camera": id_of("c", "yard.mp4")}
    video = id_of("v", archive[0] / "yard.feat")
    assert client.get("/api/at", params=yard | {"at": 4.5}).json() == {"video": video, "second": 4.5}
    assert client.get("/api/at", params=yard | {"at": 12.5}).json() == {"video": video, "second": 11.915}  # its end is near
    begin = instant(from_iso("2026-11-23T13:30:00")).timestamp()  # type: ignore[arg-type]
    assert client.get("/api/at", params={"camera": id_of("c", CH01), "at": begin + 3}).json() == {"video": None, "second": 3.0}
    for params, status, message in (
        (yard | {"at": "13.5"}, 404, "yard.mp4 has no recording at that time"),
        ({"camera": id_of("c", CH01), "at": begin - 60}, 404, "no recording at that time"),
        ({"camera": id_of("c", "nobody"), "at": "1"}, 404, "no camera of this page has the id"),
        ({"camera": "../yard.mp4" * 99, "at": "1"}, 404, "no camera of this page has the id"),
        ({"at": "1"}, 404, "no camera of this page has the id ''"),
        (yard, 400, "at is nothing; expected a number"),
        (yard | {"at": "nan"}, 400, "at is 'nan'; expected a number"),
        (yard | {"at": "1", "near": "-1"}, 400, "near is '-1'; expected a number"),
    ):
        answer = client.get("/api/at", params=params)
        assert answer.status_code == status and message in answer.json()["message"] and len(answer.content) < 200


@pytest.mark.parametrize(("params", "status", "message"), WRONG, ids=[json.dumps(params) for params, _, _ in WRONG])
def test_a_wrong_question_is_refused_with_a_sentence(client: Any, params: dict[str, Any], status: int, message: str) -> None:
    for path in ("/api/ask", "/api/strips", "/api/report"):
        answer = client.get(path, params=params)
        assert answer.status_code == status and message in answer.json()["message"]


def test_a_sentence_that_cannot_be_encoded_fails_alone(client: Any) -> None:
    found = events(client, "/api/ask", q="man " * 2000)
    assert found[-1][0] == "failed" and "tokens; the text encoder takes" in found[-1][1]["message"]


class Held:
    """Holds the server's thread in a request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.free, self.ended = threading.Event(), threading.Event(), threading.Event()
        answer = serving.search_open

        def slow(*given: Any, progress: Any, **options: Any) -> Any:
            self.entered.set()
            try:
                progress("recordings", 0, 9)
                while not self.free.wait(0.05):
                    progress("recordings", 1, 9)
            except BaseException:
                self.ended.set()
                raise
            return answer(*given, progress=progress, **options)

        monkeypatch.setattr(serving, "search_open", slow)


def test_a_client_that_goes_away_cancels_its_request(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    for path in ("/api/ask", "/api/report"):
        held.entered.clear()
        held.ended.clear()
        with asks_and_goes_away(client, f"{path}?q=the+yellow+bus"):
            assert held.entered.wait(PATIENCE_S)
        assert held.ended.wait(PATIENCE_S)
    held.free.set()
    assert answers(client, top_k=1)


def test_too_many_requests_are_refused_with_503(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held, submit = Held(monkeypatch), serving.Server.submit_request
    accepted: list[Any] = []

    def counted(server: Any, *given: Any, **options: Any) -> Any:
        future = submit(server, *given, **options)
        accepted.append(future)
        return future

    monkeypatch.setattr(serving.Server, "submit_request", counted)
    with ThreadPoolExecutor(70) as clients:
        try:
            asking = [clients.submit(events, client, "/api/ask", q="a bus")]
            assert held.entered.wait(PATIENCE_S)
            asking += [clients.submit(events, client, "/api/ask", q=f"car {number}") for number in range(64)]
            until(lambda: len(accepted) == 65)
            answer = client.get("/api/report", params={"q": "one too many"})
            assert (answer.status_code, answer.json()["message"]) == (503, "64 requests wait already; ask again later")
        finally:
            held.free.set()
        assert all(one.result(PATIENCE_S)[-1][0] == "answers" for one in asking)
