"""What the page hands over is what `wsra ground` writes, and nothing of it is left behind."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")
pytest.importorskip("httpx")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")
import av
from pages import MARKUP, PATIENCE_S, asks_and_goes_away, events, page_over, until, write_archive
from typer.testing import CliRunner

from wsra.runtime.cli import app_of
from wsra.runtime.view import running
from wsra.runtime.view.library.listing import id_of
from wsra.runtime.view.questions import handing
from wsra.runtime.view.questions.handing import KINDS

pytestmark = pytest.mark.device
YARD = {"q": "the yellow bus", "camera": id_of("c", "yard.mp4")}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_archive(tmp_path_factory.mktemp("handing"))


@pytest.fixture(scope="module")
def client(archive: tuple[Path, Path]) -> Iterator[Any]:
    with page_over([archive[0]], archive[1]) as (_, client):
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary folders are made here, and are gone when a download has ended."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    until(lambda: not list(place.iterdir()))


def ground(archive: tuple[Path, Path], *options: str) -> None:
    """As the page asks, with the same filters."""
    asked = ["ground", str(archive[0]), "the yellow bus", "-b", str(archive[1]), "--no-extract", "--camera", "yard.mp4", "--top-k", "20"]
    done = CliRunner().invoke(app_of(["ground"]), [*asked, "--precision", "fp32", "--provider", "cpu", "--threads", "1", *options])
    assert done.exit_code in (0, 1), done.output


def handed(answer: Any, name: str, kind: str) -> bytes:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["content-type"] == kind and answer.headers["cache-control"] == "no-store"
    return bytes(answer.content)


def test_the_report_holds_the_answer_and_the_command(client: Any) -> None:
    html = handed(client.get("/api/report", params=YARD), "wsra-report.html", "text/html; charset=utf-8").decode()
    assert "--no-extract --top-k 20 --camera yard.mp4" in html and 'src="data:image' in html
    html = client.get("/api/report", params=YARD | {"q": MARKUP}).text
    assert "&lt;img src=x&gt;" in html and MARKUP not in html


@pytest.mark.parametrize(("kind", "of"), [("csv", "text/csv"), ("edl", "text/plain"), ("m3u8", "audio/x-mpegurl")])
def test_lists_are_those_of_ground(client: Any, archive: tuple[Path, Path], tmp_path: Path, kind: str, of: str) -> None:
    content = handed(
        client.get("/api/playlist", params=YARD | {"kind": kind}), f"wsra-moments.{kind}", of if kind == "m3u8" else f"{of}; charset=utf-8"
    )
    ground(archive, "--playlist", str(tmp_path / f"of-ground.{kind}"))
    assert content == (tmp_path / f"of-ground.{kind}").read_bytes()
    if kind == "csv":
        moments = events(client, "/api/ask", **YARD)[-1][1]["answers"][0]["moments"]
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert len(rows) == len(moments) > 0 and {row["video"] for row in rows} == {"yard.mp4"}


def test_clips_are_those_of_ground(client: Any, archive: tuple[Path, Path], tmp_path: Path) -> None:
    content = handed(client.get("/api/clips", params=YARD), "wsra-clips.zip", "application/zip")
    ground(archive, "--clips", str(tmp_path / "wsra-clips"))
    expected = {f"wsra-clips/{path.name}": path.stat().st_size for path in (tmp_path / "wsra-clips").iterdir()}
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None and set(file.namelist()) == set(expected)
        clips = [name for name in file.namelist() if name.endswith(".mp4")]
        assert clips
        file.extractall(tmp_path / "unpacked")
    with av.open(str(tmp_path / "unpacked" / clips[0])) as video:
        assert sum(1 for _ in video.decode(video=0)) > 0


def test_the_picture_is_a_png(client: Any) -> None:
    assert handed(client.get("/api/picture", params=YARD), "wsra-moments.png", "image/png").startswith(b"\x89PNG\r\n")


def test_several_at_once_wait_for_each_other(client: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as clients:
        every = [clients.submit(client.get, f"/api/{kind}", params=YARD | {"kind": "csv"}) for kind in KINDS * 2]
        assert [one.result(PATIENCE_S).status_code for one in every] == [200] * 8


@pytest.mark.parametrize("end", ["client", "page"])
def test_writing_stops_where_nobody_waits(archive: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def slow(*given: Any, progress: Any, **options: Any) -> bool:
        begun.set()
        try:
            while True:
                progress("clips", 1, 9)
                time.sleep(0.01)
        finally:
            stopped.set()

    monkeypatch.setattr(handing, "export", slow)
    monkeypatch.setattr(running, "_LAST_S", PATIENCE_S)  # the refusal may be late, too
    with page_over([archive[0]], archive[1]) as (page, client):
        if end == "client":
            with asks_and_goes_away(client, f"/api/clips?{urlencode(YARD)}"):
                assert begun.wait(PATIENCE_S)
        else:
            waiting = threading.Thread(target=lambda: answers.append(client.get("/api/clips", params=YARD)))
            answers: list[Any] = []
            waiting.start()
            assert begun.wait(PATIENCE_S)
            page.should_exit = True
            waiting.join(PATIENCE_S)
            assert answers[0].status_code == 503 and "the page closes" in answers[0].json()["message"]
        assert stopped.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("kind", "params", "status", "message"),
    [
        ("clips", {"q": "the yellow bus", "camera": id_of("c", "north/ch01")}, 404, "nothing was found whose video is here"),
        ("playlist", YARD | {"from": "2020-01-01T00:00", "to": "2020-01-02T00:00", "kind": "csv"}, 404, "nothing was found"),
        ("playlist", YARD, 400, "expected m3u8, edl, csv"),
        ("playlist", YARD | {"kind": "html"}, 400, "expected m3u8, edl, csv"),
        ("report", {"q": "man " * 2000}, 400, "tokens; the text encoder takes"),
    ],
)
def test_what_cannot_be_handed_over_is_said(client: Any, kind: str, params: dict[str, str], status: int, message: str) -> None:
    answer = client.get(f"/api/{kind}", params=params)
    assert answer.status_code == status and message in answer.json()["message"]


def test_pictures_of_a_video_outside_are_not_handed_over(archive: tuple[Path, Path], tmp_path: Path) -> None:
    """A .feat file finds its video by the name that it records, and a link of that name may have been put there meanwhile."""
    place = tmp_path / "archive"
    place.mkdir()
    shutil.copy(archive[0] / "yard.feat", place / "kept.feat")
    (tmp_path / "outside.mp4").write_bytes((archive[0] / "yard.mp4").read_bytes())
    with page_over([place], archive[1]) as (_, client):
        assert events(client, "/api/ask", q="the yellow bus")[-1][1]["answers"][0]["moments"][0]["parts"][0]["video"] is None
        (place / "yard.mp4").symlink_to(tmp_path / "outside.mp4")
        moment = events(client, "/api/ask", q="the yellow bus")[-1][1]["answers"][0]["moments"][0]
        assert moment["parts"][0]["video"] is None and json.dumps(moment)
        assert client.get("/api/clips", params={"q": "the yellow bus"}).status_code == 404
        assert client.get("/api/playlist", params={"q": "the yellow bus", "kind": "m3u8"}).status_code == 404
        html = client.get("/api/report", params={"q": "the yellow bus"}).text
        assert "outside of" not in html and "a link that leads out of the opened folders" in html and 'src="data:image' not in html
        assert client.get(f"/media/{id_of('v', place / 'kept.feat')}").status_code == 404
