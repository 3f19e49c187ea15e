"""Excerpts are decoded again and compared with the video; how many are made at once, and kept, is bounded."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

av = pytest.importorskip("av")
httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")
from films import level  # noqa: E402
from served import OneFolder, served  # noqa: E402

import wsra.runtime.view.media.excerpts as module  # noqa: E402
from handed import write_film  # noqa: E402
from wsra.runtime.errors import ConfigError, MissingExtraError, OutputError, ServerError, VideoError, WsraError  # noqa: E402
from wsra.runtime.video.frames import Frame, Video  # noqa: E402
from wsra.runtime.view.media.excerpts import Excerpts  # noqa: E402
from wsra.runtime.view.media.media import Media  # noqa: E402
from wsra.runtime.view.web.refusals import NotServed  # noqa: E402

pytestmark = pytest.mark.device
PATIENCE_S = 300  # of whoever waits; it is only so long where something hangs
TICKS = range(0, 30_000, 120)  # of films whose clock has steps of 40 ms


def decoded(path: Path) -> list[Frame]:
    with Video(path, height_px=1000, frames_per_s=1000) as video:
        return list(video.frames())


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "excerpts"


@pytest.fixture
def excerpts(cache: Path) -> Iterator[Excerpts]:
    made = Excerpts(cache)
    yield made
    made.close()


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    return write_film(tmp_path / "old.avi", codec="mpeg4", shown_ms=TICKS, bframes=0)


@pytest.mark.parametrize(
    ("name", "film", "copied"),
    [
        ("film.mkv", {"bframes": 2}, True),
        ("film.mov", {}, True),
        ("film.avi", {"codec": "mpeg4", "shown_ms": TICKS, "bframes": 0}, False),
        ("film.ts", {"bframes": 0}, False),
        ("film.mp4", {"codec": "libx265", "bframes": 0}, False),
        ("film.mp4", {"codec": "mpeg4", "shown_ms": TICKS, "bframes": 0}, False),
        ("film.mkv", {"codec": "mjpeg"}, False),
    ],
    ids=["H.264 in MKV", "H.264 in MOV", "MPEG-4 in AVI", "H.264 in TS", "HEVC in MP4", "MPEG-4 in MP4", "MJPEG in MKV"],
)
def test_an_excerpt_holds_the_frames_of_its_time(excerpts: Excerpts, tmp_path: Path, name: str, film: dict[str, Any], copied: bool) -> None:
    if film.get("codec", "libx264") not in av.codecs_available:
        pytest.skip(f"this PyAV has no {film['codec']}")
    video = write_film(tmp_path / name, **film)
    made = excerpts.excerpt(video, 7.74, 11.53).result(PATIENCE_S)
    whole, clip = decoded(video), decoded(made.file)
    step_s = whole[1].time_s
    assert made.copied == copied and made.end_s == 11.5
    assert -1e-6 <= 7.7 - made.start_s <= (3.0 if copied else 0) + 1e-3 or 0 <= made.start_s - 7.7 <= step_s
    first = min(range(len(whole)), key=lambda number: abs(whole[number].time_s - made.start_s))
    assert whole[first].time_s == pytest.approx(made.start_s, abs=2e-3)
    assert made.end_s - made.start_s - 2 * step_s <= clip[-1].time_s <= made.end_s - made.start_s + 3 * step_s
    for ours, theirs in zip(clip, whole[first:], strict=False):
        assert level(ours.image) == pytest.approx(level(theirs.image), abs=4)
        assert ours.time_s == pytest.approx(theirs.time_s - made.start_s, abs=3e-3)
    with av.open(str(made.file)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) in {("h264", "yuv420p"), ("h264", "yuvj420p")}
    assert module.playable(made.file).why == ""


def test_pictures_that_are_encoded_have_at_most_1080_rows(excerpts: Excerpts, tmp_path: Path) -> None:
    import numpy as np

    size = (2560, 1440)
    film = {"size": size, "picture": lambda _: np.full((size[1], size[0], 3), 90, np.uint8), "shown_ms": range(0, 1000, 200)}
    video = write_film(tmp_path / "large.avi", codec="mpeg4", **film)
    with av.open(str(excerpts.excerpt(video, 0.0, 1.0).result(PATIENCE_S).file)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (1920, 1080)


def test_an_excerpt_is_made_once_and_found_by_the_next_page(
    excerpts: Excerpts, cache: Path, avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [excerpts.excerpt(avi, 1.0, 2.0) for _ in range(5)]
    made = {one.result(PATIENCE_S) for one in asked}
    assert len(made) == 1 and cache.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(module, "encode_part", None)
    (again,) = made
    assert excerpts.excerpt(avi, 1.04, 1.96).result(PATIENCE_S) == again  # the same tenths
    later = Excerpts(cache)
    with pytest.raises(NotServed):
        later.file_of(again.name)  # nothing that this page was not asked for
    assert later.excerpt(avi, 1.0, 2.0).result(PATIENCE_S) == again and later.file_of(again.name) == again.file
    with pytest.raises(NotServed):
        later.file_of("../" + again.name)
    later.close()


def test_a_video_that_was_written_to_and_half_an_excerpt_are_not_taken(excerpts: Excerpts, avi: Path) -> None:
    first = excerpts.excerpt(avi, 1.0, 2.0).result(PATIENCE_S)
    first.file.with_suffix(".json").write_text('{"start_s": 1.0')
    assert excerpts.excerpt(avi, 1.0, 2.0).result(PATIENCE_S) == first
    assert json.loads(first.file.with_suffix(".json").read_text())["start_s"] == first.start_s
    os.utime(avi, (1, 1))
    assert excerpts.excerpt(avi, 1.0, 2.0).result(PATIENCE_S).name != first.name


class Gate:
    """Holds whoever encodes until it is opened, and counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.lock, self.now, self.most, self.calls = threading.Event(), threading.Lock(), 0, 0, 0
        real = module.encode_part

        def held(*given: Any, **options: Any) -> Any:
            with self.lock:
                self.now, self.calls = self.now + 1, self.calls + 1
                self.most = max(self.most, self.now)
            assert self.free.wait(PATIENCE_S)
            try:
                return real(*given, **options)
            finally:
                with self.lock:
                    self.now -= 1

        monkeypatch.setattr(module, "encode_part", held)

    def wait(self, count: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.now < count:
            assert time.monotonic() < until
            time.sleep(0.005)


def test_two_are_made_at_once_and_few_wait(excerpts: Excerpts, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    asked: list[Future[Any]] = [excerpts.excerpt(avi, 0.0, 1.0), excerpts.excerpt(avi, 1.0, 2.0)]
    gate.wait(2)
    asked += [excerpts.excerpt(avi, number / 10, number / 10 + 1) for number in range(20, 52)]
    with pytest.raises(ServerError, match="32 wait already; ask again in a moment"):
        excerpts.excerpt(avi, 9.0, 10.0)
    assert excerpts.excerpt(avi, 0.0, 1.0) is asked[0]
    gate.free.set()
    assert len({one.result(PATIENCE_S).name for one in asked}) == 34
    assert gate.most == 2 and gate.calls == 34


def test_the_cache_is_bounded_and_what_was_used_last_stays(cache: Path, avi: Path) -> None:
    probe = Excerpts(cache)
    size = probe.excerpt(avi, 0.0, 2.0).result(PATIENCE_S).file.stat().st_size
    probe.close()
    bounded = Excerpts(cache, most_bytes=round(3.5 * size))
    made = []
    for number in range(3):
        made.append(bounded.excerpt(avi, 2.0 * number, 2.0 * number + 2).result(PATIENCE_S))
        time.sleep(0.02)
    bounded.file_of(made[0].name)  # used
    time.sleep(0.02)
    made += [bounded.excerpt(avi, 2.0 * number, 2.0 * number + 2).result(PATIENCE_S) for number in (3, 4)]
    files = sorted(cache.glob("*.mp4"))
    assert sum(file.stat().st_size for file in files) <= 3.5 * size
    assert made[0].file in files and made[4].file in files and made[1].file not in files
    assert {file.with_suffix(".json") for file in files} == set(cache.glob("*.json"))
    with pytest.raises(NotServed, match="not kept any more"):
        bounded.file_of(made[1].name)
    bounded.close()
    tiny = Excerpts(cache, most_bytes=1)
    last = tiny.excerpt(avi, 20.0, 21.0).result(PATIENCE_S)
    assert list(cache.glob("*.mp4")) == [last.file]
    tiny.close()


@pytest.mark.parametrize(
    ("start_s", "end_s", "message"),
    [
        (40.0, 41.0, "is 29.9 s long; expected times within it"),
        (5.0, 5.0, "at most 120 s long"),
        (5.0, 4.0, "at most 120 s long"),
        (0.0, 120.1, "at most 120 s long"),
    ],
)
def test_times_beyond_the_video_are_refused(excerpts: Excerpts, avi: Path, start_s: float, end_s: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        excerpts.excerpt(avi, start_s, end_s)


def test_an_end_beyond_the_video_is_its_end(excerpts: Excerpts, avi: Path) -> None:
    made = excerpts.excerpt(avi, 28.0, 60.0).result(PATIENCE_S)
    assert made.end_s == 29.9 and decoded(made.file)[-1].time_s == pytest.approx(1.9, abs=0.15)


def test_what_cannot_be_made_says_why_and_leaves_nothing(
    excerpts: Excerpts, cache: Path, avi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VideoError):
        excerpts.excerpt(tmp_path / "none.avi", 0.0, 1.0)
    cut = write_film(tmp_path / "cut.mkv", codec="mpeg4", shown_ms=TICKS, bframes=0)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    with pytest.raises(VideoError, match=r"no frame between second 25.0 and 26.0"):
        excerpts.excerpt(cut, 25.0, 26.0).result(PATIENCE_S)
    cut = write_film(tmp_path / "cut.mp4", container={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])  # its index still speaks of what is gone
    with pytest.raises(VideoError, match=r"no frame between second 15.0 and 16.0"):
        excerpts.excerpt(cut, 15.0, 16.0).result(PATIENCE_S)
    monkeypatch.setattr(module, "can_encode", lambda: False)
    with pytest.raises(ServerError, match="this PyAV cannot encode H.264"):
        excerpts.excerpt(avi, 0.0, 1.0).result(PATIENCE_S)
    assert list(cache.iterdir()) == []
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Excerpts(tmp_path / "file" / "cache").excerpt(avi, 0.0, 1.0).result(PATIENCE_S)


def test_closing_stops_what_is_encoded_and_the_next_page_sweeps_what_was_killed(
    excerpts: Excerpts, cache: Path, avi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    hand, other, waits = (excerpts.excerpt(avi, float(number), number + 5.0) for number in range(3))
    gate.wait(2)
    excerpts.close()
    gate.free.set()
    for one in (hand, other, waits):
        with pytest.raises(ServerError, match="the page is closing"):
            one.result(PATIENCE_S)
    assert list(cache.iterdir()) == []
    with pytest.raises(ServerError, match="the page is closing"):
        excerpts.excerpt(avi, 0.0, 1.0)
    left = cache / ".abc.mp4.0123456789ab.part"
    left.write_bytes(b"of a process that was killed")
    later = Excerpts(cache)
    later.excerpt(avi, 0.0, 1.0).result(PATIENCE_S)
    assert not left.exists()
    later.close()


def test_an_excerpt_that_takes_too_long_is_given_up(excerpts: Excerpts, cache: Path, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_S", 0.0)
    with pytest.raises(ServerError, match="takes more than 0 minutes on this machine; ask for a shorter one"):
        excerpts.excerpt(avi, 0.0, 20.0).result(PATIENCE_S)
    assert list(cache.iterdir()) == []


def test_over_http_while_others_are_made_the_page_answers(
    excerpts: Excerpts, avi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, media = Gate(monkeypatch), Media(OneFolder(tmp_path), excerpts)  # type: ignore[arg-type]
    answers: dict[int, Any] = {}
    with served(media.routes()) as client:

        def ask(number: int) -> None:
            answers[number] = client.get(f"/media/old.avi/excerpt?start={number}&end={number + 2}")

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        gate.wait(2)
        with pytest.raises(httpx.ReadTimeout):  # a client that goes away
            client.get("/media/old.avi/excerpt?start=10&end=12", timeout=httpx.Timeout(PATIENCE_S, read=0.3))
        assert client.get("/media/old.avi/info", timeout=PATIENCE_S).json()["playable"] is False
        gate.free.set()
        for thread in threads:
            thread.join()
        for number, answer in answers.items():
            excerpt = answer.json()
            assert excerpt["start_s"] == pytest.approx(number, abs=0.13) and excerpt["end_s"] == number + 2 and not excerpt["copied"]
            film = client.get(excerpt["url"], headers={"Range": "bytes=0-"})
            assert film.status_code == 206 and film.headers["content-type"] == "video/mp4"
            (tmp_path / "got.mp4").write_bytes(film.content)
            assert len(decoded(tmp_path / "got.mp4")) == pytest.approx(2 / 0.12, abs=1.5)
        calls = gate.calls
        assert client.get("/media/old.avi/excerpt?start=10&end=12").status_code == 200 and gate.calls in (
            calls,
            5,
        )  # it was made all the same
        assert client.get("/media/excerpts/0123.mp4").status_code == 404
        for wrong in (
            "start=1",
            "start=2&end=1",
            "start=0&end=121",
            "start=-1&end=3",
            "start=nan&end=3",
            "start=100&end=101",
            "start=0&end=0",
        ):
            refused = client.get(f"/media/old.avi/excerpt?{wrong}")
            assert refused.status_code == 400 and "\n" not in refused.json()["message"], wrong
    media.close()


def test_a_library_that_is_missing_is_said(excerpts: Excerpts, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks() -> bool:
        raise MissingExtraError("PyAV", "video", "writing clips")

    monkeypatch.setattr(module, "can_encode", lacks)
    with pytest.raises(WsraError, match=r"pip install 'wsra\[video\]'"):
        excerpts.excerpt(avi, 0.0, 1.0).result(PATIENCE_S)
