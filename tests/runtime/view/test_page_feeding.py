"""The page in Chromium: videos that are prepared in the background, folders that are dropped, two tabs, a server that is gone.

Skipped, with the reason, where Chromium or Playwright is missing.
"""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
pytest.importorskip("playwright")
from browsers import looking
from pages import page_over

import wsra.runtime.archive.videos as videos
from handed import write_film

CAR, CAT = "a white van leaves on the right", "a cat"
FILMS = 3


def test_two_tabs(browser: Any, address: str) -> None:
    with looking(browser, address) as one, looking(browser, address) as other:
        one.get_by_label("Sentence 1", exact=True).fill(CAR)
        other.get_by_label("Sentence 1", exact=True).fill(CAT)
        one.keyboard.press("Enter")
        other.keyboard.press("Enter")
        for tab, sentence in ((one, CAR), (other, CAT)):
            tab.answered()
            assert tab.locator("#answers h2").all_inner_texts() == [f"“{sentence}”"]


def test_a_server_that_is_gone_is_said(browser: Any, archive: Path, bundle: Any) -> None:
    with page_over([archive], bundle.folder) as (page, client), looking(browser, str(client.base_url)) as look:
        page.should_exit = True
        look.until("fetch('/').then(() => false, () => true)")
        look.get_by_label("Sentence 1", exact=True).fill(CAT)
        look.keyboard.press("Enter")
        look.until("/does not answer/.test(document.querySelector('#problem').textContent)")
        look.evaluate("0")
        assert all("ERR_" in text for text in look.said)  # Chromium's own lines
        look.said.clear()


def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Every video waits after its first second until the event is set."""
    free, real = threading.Event(), videos.extract_features

    def extract(path: Path, *, progress: Any, **given: Any) -> Any:
        def seen(done_s: float, total_s: float | None) -> None:
            progress(done_s, total_s)
            while done_s >= 1 and not free.is_set():
                time.sleep(0.01)
                progress(done_s, total_s)

        return real(path, progress=seen, **given)

    monkeypatch.setattr(videos, "extract_features", extract)
    return free


def test_feeding(browser: Any, bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare, cancel, a restart that goes on, a broken file, and what is ready is found."""
    root, free = tmp_path / "yard", held(monkeypatch)
    root.mkdir()
    film = write_film(tmp_path / "film.mp4", shown_ms=range(0, 10_000, 100))
    names = [f"film-{number:02d}" for number in range(FILMS)]
    for name in names:
        shutil.copy(film, root / f"{name}.mp4")
    broken = write_film(root / "broken.mp4", shown_ms=range(0, 5_000, 100), container={"movflags": "faststart"})
    broken.write_bytes(broken.read_bytes()[:1800])  # it opens, but holds no picture
    (root / "text.mp4").write_text("no video")
    with page_over([root], bundle.folder) as (_, client), looking(browser, str(client.base_url)) as look:
        assert "Nothing is ready" in look.locator("#status").inner_text()
        look.get_by_role("button", name="Prepare all").click()
        look.until("document.querySelector('.job progress').value > 0")
        look.get_by_role("button", name=f"Cancel {names[-1]}.mp4").click()
        look.until("/1 video was cancelled/.test(document.querySelector('#feeding').textContent)")
    assert not list(root.glob("*.feat"))  # the restart has everything to go on with
    free.set()
    with page_over([root], bundle.folder) as (_, client), looking(browser, str(client.base_url)) as look:
        look.until(f"/{FILMS - 1} ready, 2 not/.test(document.querySelector('.folders').textContent)")
        assert {path.name for path in root.glob("*.feat")} == {f"{name}.feat" for name in names[:-1]}
        look.until("/broken.mp4 .*no decodable frame/.test(document.querySelector('#feeding .problem').textContent)")
        assert "not a video" in look.locator("#left-out").text_content()
        look.ask(CAT)
        assert look.locator(".strip").count() == FILMS - 1


def test_a_dropped_folder(browser: Any, address: str) -> None:
    drop = """name => {
        const folder = { isDirectory: true, name, createReader: () => ({ readEntries: done => done([]) }) };
        const event = new Event("drop", { cancelable: true });
        Object.defineProperty(event, "dataTransfer", { value: { types: ["Files"], items: [{ webkitGetAsEntry: () => folder }] } });
        document.dispatchEvent(event);
    }"""
    with looking(browser, address) as look:
        look.evaluate(drop, "elsewhere")
        look.until("/“elsewhere” is not open here/.test(document.querySelector('#feeding').textContent)")
        with look.expect_request(lambda request: request.method == "POST" and request.url.endswith("/api/jobs")):
            look.evaluate(drop, "new")
        look.until("/“new”: 1 video is prepared/.test(document.querySelector('#feeding').textContent)")
