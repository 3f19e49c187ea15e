"""Videos, pictures and boxes over HTTP, against the bytes of the files and frames that are decoded apart."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")
import numpy as np  # noqa: E402
from films import turn  # noqa: E402
from presences import upgrade  # noqa: E402
from served import OneFolder, served, write_features_of  # noqa: E402

from handed import SIZE, box_at, write_film  # noqa: E402
from wsra.runtime.drawing.boxes import crop, fitted  # noqa: E402
from wsra.runtime.errors import ServerError  # noqa: E402
from wsra.runtime.formats.bundle import open_bundle  # noqa: E402
from wsra.runtime.video.frames import Video  # noqa: E402
from wsra.runtime.view.library.library import Library  # noqa: E402
from wsra.runtime.view.library.listing import id_of  # noqa: E402
from wsra.runtime.view.media.media import Media  # noqa: E402
from wsra.runtime.view.media.stills import Stills, Wanted  # noqa: E402

pytestmark = pytest.mark.device
BUNDLE = Path(__file__).parents[2] / "fixtures" / "v0.1.0" / "bundle"
TICKS = range(0, 30_000, 120)  # of films whose clock has steps of 40 ms


@dataclass
class Page:
    """An opened archive behind a server."""

    client: Any
    root: Path
    library: Library

    def get(self, name: str, way: str = "", **given: Any) -> Any:
        return self.client.get(f"/media/{id_of('v', (self.root / name).with_suffix('.feat'))}{way}", **given)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of films, and one outside of it to which a link leads."""
    base = tmp_path_factory.mktemp("archive")
    shutil.copytree(BUNDLE, base / "bundle")
    upgrade(base / "bundle")
    bundle = open_bundle(base / "bundle", trust_unchanged=True)
    root, outside = base / "root", base / "outside"
    root.mkdir()
    outside.mkdir()
    for name in ("gate-1.mp4", "gate-2.mkv", "gate-3.mov"):
        write_features_of(write_film(root / name), bundle)
    write_features_of(turn(write_film(root / "turned.mp4"), 0, 1, -1, 0), bundle)
    write_features_of(write_film(root / "old.avi", codec="mpeg4", shown_ms=TICKS, bframes=0), bundle)
    write_features_of(write_film(root / "new.mp4", codec="libx265", shown_ms=range(0, 6000, 100)), bundle)
    write_features_of(write_film(root / "open.webm", codec="libvpx-vp9", shown_ms=range(0, 6000, 100)), bundle)
    write_features_of(write_film(root / "late.webm", codec="libvpx-vp9", shown_ms=range(5000, 11_000, 100)), bundle)
    broken = write_film(root / "broken.mp4")
    write_features_of(broken, bundle)
    content = bytearray(broken.read_bytes())
    content[content.index(b"mdat") + 4 : -5000] = bytes(len(content) - 5000 - content.index(b"mdat") - 4)
    broken.write_bytes(content)
    write_film(outside / "secret.mp4")
    (root / "leak.mp4").symlink_to(outside / "secret.mp4")
    write_features_of(root / "leak.mp4", bundle)
    return root


@pytest.fixture(scope="module")
def page(root: Path) -> Iterator[Page]:
    library, media = Library([root], open_bundle(root.parent / "bundle", trust_unchanged=True)), None
    with library:
        media = Media(library)
        with served(media.routes()) as client:
            yield Page(client, root, library)
        media.close()


def decoded(path: Path) -> list[Any]:
    with Video(path, height_px=1000, frames_per_s=1000) as video:
        return list(video.frames())


def picture(answer: Any) -> np.ndarray:
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg", answer.text
    return np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def test_ranges_are_those_of_the_file_byte_for_byte(page: Page) -> None:
    content = (page.root / "gate-1.mp4").read_bytes()
    whole = page.get("gate-1.mp4")
    assert whole.status_code == 200 and whole.content == content and whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes" and whole.headers["etag"] and int(whole.headers["content-length"]) == len(content)
    draw = random.Random(1)
    for _ in range(60):
        first = draw.randrange(len(content))
        last = draw.randrange(first, len(content))
        for asked, start, end in (
            (f"bytes={first}-{last}", first, last + 1),
            (f"bytes={first}-", first, len(content)),
            (f"bytes=-{last + 1}", len(content) - last - 1, len(content)),
            (f"bytes={first}-{len(content) + 10**12}", first, len(content)),
        ):
            part = page.get("gate-1.mp4", headers={"Range": asked})
            assert part.status_code == 206 and part.content == content[start:end]
            assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"
    several = page.get("gate-1.mp4", headers={"Range": "bytes=0-9,100-199"})
    assert several.status_code == 206 and several.headers["content-type"].startswith("multipart/byteranges")
    assert content[:10] in several.content and content[100:200] in several.content


def test_a_range_beyond_the_file_is_refused(page: Page) -> None:
    size = (page.root / "gate-1.mp4").stat().st_size
    for asked in (f"bytes={size}-", f"bytes={10**15}-{10**15 + 1}"):
        beyond = page.get("gate-1.mp4", headers={"Range": asked})
        assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{size}"
    for asked in ("bytes=5-2", "bytes=a-b", "lines=0-4"):
        assert page.get("gate-1.mp4", headers={"Range": asked}).status_code == 400


def test_a_file_that_grows_is_sent_as_it_was(tmp_path: Path) -> None:
    """As one that a recorder is still writing; the client reads slowly enough for it to grow meanwhile."""
    size, film = (50 << 20) + 1000, tmp_path / "growing.mp4"
    film.write_bytes(b"a" * size)
    media = Media(OneFolder(tmp_path))  # type: ignore[arg-type]
    with served(media.routes()) as client, client.stream("GET", "/media/growing.mp4") as answer:
        pieces = answer.iter_raw(1 << 16)
        got = len(next(pieces))
        with film.open("ab") as file:
            file.write(b"b" * 300_000)
        for piece in pieces:
            got += len(piece)
            assert b"b" not in piece
        assert got == size == int(answer.headers["content-length"])
    media.close()


def test_head_and_if_range(page: Page) -> None:
    content = (page.root / "gate-1.mp4").read_bytes()
    address = f"/media/{id_of('v', page.root / 'gate-1.feat')}"
    head = page.client.head(address)
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) == len(content)
    part = page.client.head(address, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == b"" and part.headers["content-length"] == "10"
    for same in (head.headers["etag"], head.headers["last-modified"]):
        answer = page.client.get(address, headers={"Range": "bytes=10-19", "If-Range": same})
        assert answer.status_code == 206 and answer.content == content[10:20]
    other = page.client.get(address, headers={"Range": "bytes=10-19", "If-Range": '"of another file"'})
    assert other.status_code == 200 and other.content == content


@pytest.mark.parametrize("way", ["", "/info", "/excerpt?start=0&end=1", "/still.jpg?t=1", "/boxes?track=0"])
@pytest.mark.parametrize("name", ["v000000000000", "..", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "gate-1.mp4", "v%00", "c" * 3000])
def test_only_ids_are_known(page: Page, name: str, way: str) -> None:
    answer = page.client.get(f"/media/{name}{way}")
    assert answer.status_code == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize("way", ["", "/info", "/excerpt?start=0&end=1", "/still.jpg?t=1"])
def test_a_link_out_of_the_folders_is_not_followed(page: Page, way: str) -> None:
    answer = page.get("leak.mp4", way)
    assert answer.status_code == 404 and answer.json()["message"]


def test_a_file_that_becomes_a_link_is_not_served(page: Page, tmp_path: Path) -> None:
    film, kept = page.root / "gate-3.mov", tmp_path / "kept"
    assert page.get("gate-3.mov").status_code == 200
    film.rename(kept)
    try:
        assert page.get("gate-3.mov").status_code == 404
        film.symlink_to(page.root.parent / "outside" / "secret.mp4")
        assert page.get("gate-3.mov").status_code == 404
        assert page.get("gate-3.mov", "/still.jpg?t=1").status_code == 404
    finally:
        film.unlink(missing_ok=True)
        kept.rename(film)


@pytest.mark.parametrize(
    ("name", "why", "size"),
    [
        ("gate-1.mp4", "", SIZE),
        ("open.webm", "", SIZE),
        ("turned.mp4", "", SIZE[::-1]),
        ("gate-2.mkv", "Browsers do not open MKV files.", SIZE),
        ("gate-3.mov", "Browsers do not open MOV files.", SIZE),
        ("old.avi", "Browsers do not open AVI files.", SIZE),
        ("new.mp4", "Not every browser plays HEVC in MP4.", SIZE),
        ("late.webm", "Its clock begins at second 5.00, where a browser would show every moment at another time.", SIZE),
    ],
)
def test_info_says_what_a_browser_plays(page: Page, name: str, why: str, size: tuple[int, int]) -> None:
    info = page.get(name, "/info").json()
    assert (info["playable"], info["why"], info["name"]) == (not why, why, name)
    assert (info["width"], info["height"]) == size
    assert info["duration_s"] == pytest.approx(decoded(page.root / name)[-1].time_s + 0.1, abs=0.1)


def test_boxes_are_those_of_the_track(page: Page) -> None:
    boxes = page.get("gate-1.mp4", "/boxes?track=0").json()["boxes"]
    assert len(boxes) > 20 and boxes == sorted(boxes)
    for time_s, *box in boxes:
        assert box == pytest.approx(box_at(time_s), abs=1e-3)
    assert page.get("gate-1.mp4", "/boxes?track=7").json() == {"boxes": []}
    for wrong in ("", "?track=", "?track=-1", "?track=nan", "?track=x", "?track=1e99"):
        assert page.get("gate-1.mp4", f"/boxes{wrong}").status_code == 400


@pytest.mark.parametrize("name", ["gate-1.mp4", "gate-2.mkv", "old.avi", "new.mp4", "turned.mp4"])
def test_a_still_is_the_decoded_frame(page: Page, name: str) -> None:
    frames = decoded(page.root / name)
    for number in (0, 17, 43, len(frames) - 1):
        frame = frames[number]
        still = picture(page.get(name, f"/still.jpg?t={frame.time_s + 0.004}&width=1920"))
        assert difference(still, frame.image) < 2
    small = picture(page.get(name, "/still.jpg?t=3&width=80"))
    frame = min(frames, key=lambda frame: abs(frame.time_s - 3))
    assert small.shape[1] == 80 and difference(small, fitted(frame.image, 80, 1000)) < 2
    assert page.get(name, "/still.jpg?t=3").status_code == 200


def test_a_crop_is_around_the_box(page: Page) -> None:
    frame = next(frame for frame in decoded(page.root / "gate-1.mp4") if frame.time_s >= 15)
    box = [round(side, 4) for side in box_at(frame.time_s)]
    still = picture(page.get("gate-1.mp4", f"/still.jpg?t={frame.time_s}&width=400&box={','.join(map(str, box))}"))
    assert difference(still, crop(frame.image, tuple(box))) < 4
    height, width = still.shape[:2]
    assert still[height // 2, width // 2].min() > 240 and still[1, 1].max() < 180  # the white square, and the wall around it


@pytest.mark.parametrize(
    "asked",
    [
        *("", "t=-1", "t=nan", "t=inf", "t=x", "t=1&width=15", "t=1&width=1921", "t=1&width=x", "t=1&box=", "t=1&box=0,0,1"),
        *("t=1&box=0.5,0,0.4,1", "t=1&box=0,0,2,1", "t=1&box=0,0,nan,1", "t=1&box=0,0,1,1,1", "t=1&box=a,b,c,d", "t=1&box=" + "1," * 2000),
    ],
)
def test_a_still_that_cannot_be_is_refused_in_one_line(page: Page, asked: str) -> None:
    answer = page.get("gate-1.mp4", f"/still.jpg?{asked}")
    assert answer.status_code == 400 and "\n" not in answer.json()["message"] and len(answer.json()["message"]) < 300


def test_a_still_is_not_sent_again(page: Page) -> None:
    first = page.get("gate-1.mp4", "/still.jpg?t=2&width=100")
    again = page.get("gate-1.mp4", "/still.jpg?t=2&width=100", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    other = page.get("gate-1.mp4", "/still.jpg?t=2.5&width=100", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200 and other.headers["etag"] != first.headers["etag"]


def test_a_pipe_in_the_place_of_a_video_is_refused(page: Page) -> None:
    """To open it would wait for whoever writes into it."""
    video, aside = page.root / "gate-1.mp4", page.root.parent / "aside.mp4"
    video.rename(aside)
    os.mkfifo(video)
    try:
        for way in ("", "/info", "/excerpt?start=2&end=4", "/still.jpg?t=2.5"):
            answer = page.get("gate-1.mp4", way)
            assert answer.status_code == 422 and "regular file" in answer.json()["message"]
    finally:
        aside.replace(video)


@pytest.mark.parametrize("way", ["/info", "/excerpt?start=2&end=4", "/still.jpg?t=2"])
def test_a_damaged_video_is_one_line(page: Page, way: str) -> None:
    answer = page.get("broken.mp4", way)
    assert answer.status_code == 422
    message = answer.json()["message"]
    assert "broken.mp4" in message and "\n" not in message
    assert page.get("gate-1.mp4", way).status_code == 200


def test_stills_of_one_video_are_decoded_together_and_kept_up_to_a_limit(
    page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from concurrent.futures import wait
    from threading import Event

    import wsra.runtime.view.media.stills as module

    passes: list[tuple[str, int]] = []
    entered, free, real = Event(), Event(), module.stills

    def counted(path: Path, times_s: list[float], *, height_px: int) -> Any:
        passes.append((path.name, len(times_s)))
        entered.set()
        assert free.wait(60)
        if path.name == "old.avi":
            wait(first, 60)  # the other pictures are kept before its own
        return real(path, times_s, height_px=height_px)

    monkeypatch.setattr(module, "stills", counted)
    made = Stills(most_bytes=12_000)
    first = [made.picture(page.root / name, Wanted(1.0, 100)) for name in ("gate-1.mp4", "gate-2.mkv")]
    assert entered.wait(60)
    while len(passes) < 2:
        time.sleep(0.01)
    rest = [made.picture(page.root / "old.avi", Wanted(float(second), 160)) for second in range(20)]
    same = made.picture(page.root / "old.avi", Wanted(3.0, 160))
    free.set()
    contents = [one.result(60) for one in (*first, *rest)]
    assert {*passes[:2]} == {("gate-1.mp4", 1), ("gate-2.mkv", 1)} and passes[2:] == [("old.avi", 20)] and same.result(60) == contents[5]
    assert made._bytes == sum(map(len, made._kept.values())) <= 12_000 < sum(map(len, contents))
    made.picture(page.root / "old.avi", Wanted(19.0, 160)).result(60)
    assert len(passes) == 3
    made.picture(page.root / "gate-1.mp4", Wanted(1.0, 100)).result(60)
    assert len(passes) == 4
    made.close()
    with pytest.raises(ServerError, match="the page is closing"):
        made.picture(page.root / "gate-1.mp4", Wanted(1.0, 100))
