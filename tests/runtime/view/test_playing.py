"""Chromium plays what is called playable, and the excerpts of everything else; at each second it shows the frame of that second.

Skipped, with the reason, where Chromium or Playwright is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

av = pytest.importorskip("av")
pytest.importorskip("starlette")
pytest.importorskip("playwright.sync_api")
from browsers import WAIT_MS  # noqa: E402
from films import SIZE_PX, Film, numbered  # noqa: E402
from served import OneFolder, served  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import HTMLResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from wsra.runtime.view.media.excerpts import Excerpts  # noqa: E402
from wsra.runtime.view.media.media import Media  # noqa: E402

SHOWN = """async ([source, seconds]) => {
    const video = document.querySelector('video'), canvas = document.querySelector('canvas').getContext('2d');
    if (!video.src.endsWith(source)) {
        video.src = source;
        await new Promise((resolve, reject) => {
            video.onloadeddata = resolve;
            video.onerror = () => reject(new Error(video.error.message));
        });
    }
    const numbers = [];
    for (const second of seconds) {
        const there = new Promise((resolve, reject) => {
            const look = (now, frame) => Math.abs(frame.mediaTime - second) < 0.05 ? resolve() : video.requestVideoFrameCallback(look);
            video.requestVideoFrameCallback(look);
            setTimeout(() => reject(new Error(`second ${second} is not shown`)), 300000);
        });
        video.currentTime = second;
        let tries = 0; // on a busy machine a frame may be shown between two looks, and a video that rests shows no other
        const again = setInterval(() => { video.currentTime = second + 0.001 * (++tries % 5); }, 3000);
        await there.finally(() => clearInterval(again));
        canvas.drawImage(video, 0, 0);
        let number = 0;
        for (let bit = 0; bit < 12; bit++) number += canvas.getImageData(bit * 13 + 6, 50, 1, 1).data[0] > 128 ? 1 << bit : 0;
        numbers.push(number);
    }
    return numbers;
}"""
ADVANCES = """async () => {
    const video = document.querySelector('video');
    video.muted = true;
    video.currentTime = 0;
    await video.play();
    await new Promise(resolve => { video.ontimeupdate = () => { if (video.currentTime > 0.4) resolve(); }; });
    video.pause();
    return video.currentTime;
}"""


async def index(request: Request) -> HTMLResponse:
    return HTMLResponse(f"<!doctype html><video></video><canvas width={SIZE_PX[0]} height={SIZE_PX[1]}></canvas>")


@pytest.mark.parametrize(
    ("name", "film", "plays"),
    [
        ("a.mp4", Film(bframes=0), True),
        ("b.mp4", Film(bframes=3), True),
        ("c.webm", Film("libvpx-vp9"), True),
        ("d.webm", Film("libvpx"), True),
        ("e.mp4", Film("libsvtav1"), True),
        ("f.mkv", Film(bframes=2), False),
        ("g.avi", Film("mpeg4"), False),
        ("h.mp4", Film("libx265"), False),
        ("i.mov", Film(bframes=2), False),
        ("j.ts", Film(bframes=0), False),
        ("k.mkv", Film(bframes=2, shown_ms=range(5000, 17_000, 40)), False),
    ],
    ids=["MP4", "MP4 with B-frames", "VP9", "VP8", "AV1", "MKV", "MPEG-4 in AVI", "HEVC", "MOV", "TS", "MKV that begins late"],
)
def test_the_frame_of_each_second_is_shown(browser: Any, tmp_path: Path, name: str, film: Film, plays: bool) -> None:
    if film.codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {film.codec}")
    film.picture, film.group = numbered, 50
    film.shown_ms = range(0, 12_000, 40) if film.shown_ms[0] == 0 else film.shown_ms  # type: ignore[index]
    film.write(tmp_path / name)
    excerpts = Excerpts(tmp_path / "cache")
    media = Media(OneFolder(tmp_path), excerpts)  # type: ignore[arg-type]
    with served([Route("/", index), *media.routes()]) as client:
        assert client.get(f"/media/{name}/info").json()["playable"] == plays
        source, begin_s = f"/media/{name}", 0.0
        if not plays:
            made = client.get(f"/media/{name}/excerpt?start=4&end=10").json()
            source, begin_s = made["url"], made["start_s"]
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(str(client.base_url))
        times_s = [7.02, 4.42, 9.5, 5.9]  # within frames, forwards and back
        shown = page.evaluate(SHOWN, [source, [time_s - begin_s for time_s in times_s]])
        assert shown == [int(time_s / 0.04 + 1e-6) for time_s in times_s]
        assert page.evaluate(ADVANCES) > 0.4
        page.close()
    media.close()
