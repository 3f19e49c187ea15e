"""The report and the clips in Chromium: nothing is requested, axe-core finds no fault, keys reach everything, clips play.

Skipped, with the reason, where Chromium, Playwright or axe-core ($WSRA_AXE, the folder of its axe.min.js) is missing; .ci/run installs
them where it can.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")
pytest.importorskip("jinja2")
pytest.importorskip("playwright")
from browsers import WAIT_MS, chromium, faults, rules

from handed import calibrated_bundle, detection, hand_over, result, write_film, write_pair
from wsra.runtime.evidence.cutting import copy_part, encode_part
from wsra.runtime.sentences.notes import Note

SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sentences, one with moments and a note, one not found; and a video that is not here."""
    folder = tmp_path_factory.mktemp("browser")
    _, feat = write_pair(folder)
    gone, far = write_pair(folder, "gate-3.mp4")
    gone.unlink()
    first = result(detection(feat), detection(feat, start_s=15.0, end_s=21.0, confidence=0.6), detection(far, video="gate-3.mp4"))
    first.notes.append(Note("negation", ("no",), "negation is not understood; describe what is to be seen"))
    missing = result(best=detection(feat, confidence=0.31), query="a red car")
    hand_over([first, missing], calibrated_bundle(folder / "bundle"), folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1000, 390])
def test_nothing_leaves_and_no_fault_is_found(browser: Any, report: Path, tmp_path: Path, scheme: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    requested: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.set_default_timeout(WAIT_MS)
    page.goto(report.as_uri())
    assert [url for url in requested if not url.startswith("data:")] == [report.as_uri()] and not said
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert len(page.screenshot(path=tmp_path / "page.png", full_page=True)) > 10_000
    page.evaluate(rules())
    assert faults(page) == []
    page.close()


def test_it_reads_without_scripts_and_by_keys(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(report.as_uri())
    assert page.get_by_role("heading", level=1).inner_text() == "Answers to a search"
    assert page.get_by_role("heading", level=2).all_inner_texts()[0] == "“man in yellow”"
    assert page.get_by_role("img", name="Score curve of gate-2.mp4").count() == 2
    assert page.get_by_role("row", name="likely, 90 %").count() == 2
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.locator(":focus").inner_text() == "Skip to the answers"
    page.keyboard.press("Enter")
    page.wait_for_url("**#answers")
    page.get_by_role("link", name="Moment 1 of sentence 1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**#moment-1-1")
    context.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """Serves the folder of the test to this machine alone, with ranges left out."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("exact", [False, True])
def test_clips_play(browser: Any, host: str, tmp_path: Path, exact: bool) -> None:
    film = write_film(tmp_path / "film.mkv", bframes=3)
    (encode_part if exact else copy_part)(film, tmp_path / "clip.mp4", 7.7, 12.3)
    (tmp_path / "page.html").write_text("<!DOCTYPE html><title>x</title><video src=clip.mp4 muted></video>")
    page = browser.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{host}/page.html")
    played = page.evaluate(
        """async () => {
            const video = document.querySelector("video");
            await video.play();
            await new Promise((done, failed) => { video.ontimeupdate = () => video.currentTime > 0.5 && done(); video.onerror = failed; });
            return [video.currentTime, video.duration, video.videoWidth, video.error];
        }"""
    )
    assert played[0] > 0.5 and played[2:] == [160, None]
    assert played[1] == pytest.approx(4.6 if exact else 12.3 - 6.0, abs=0.5)
    page.close()
