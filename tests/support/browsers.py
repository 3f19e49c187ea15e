"""Chromium for tests, the page of `wsra view` in it, and what axe-core says; skipped, with the reason, where one of them is missing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

WAIT_MS = 300_000  # a machine that does other work, too, is slow


@contextmanager
def chromium() -> Iterator[Any]:
    """Chromium of this machine, opened by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed: nothing is opened in a browser")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=WAIT_MS)
        yield opened
        opened.close()


def rules() -> str:
    """The program of axe-core, which the test runs in its page."""
    file = Path(os.environ.get("WSRA_AXE", "")) / "axe.min.js"
    if not file.is_file():
        pytest.skip("WSRA_AXE names no folder with axe.min.js: accessibility is not checked")
    return file.read_text(encoding="utf-8")


def faults(page: Any) -> list[tuple[str, str, str]]:
    """What axe-core finds: how bad, the rule, and the first element."""
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > 15
    return [(fault["impact"], fault["id"], fault["nodes"][0]["html"]) for fault in found["violations"]]


@dataclass
class Look:
    """A page that is open, and what went wrong in it."""

    page: Any
    requested: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def until(self, condition: str) -> Any:
        """Wait until JavaScript is true; Playwright's own way evaluates a string in the page, which the page forbids."""
        end = time.monotonic() + WAIT_MS / 1000
        while not (found := self.page.evaluate(condition)):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(30)
        return found

    def ask(self, *sentences: str) -> None:
        for number, sentence in enumerate(sentences, 1):
            if number > 1:
                self.page.get_by_role("button", name="Add a sentence").click()
            self.page.get_by_label(f"Sentence {number}", exact=True).fill(sentence)
        self.page.keyboard.press("Enter")
        self.answered()

    def answered(self) -> None:
        self.until("/found for/.test(document.querySelector('#status').textContent)")

    def second(self) -> float:
        return float(self.page.evaluate("document.querySelector('video').currentTime"))

    def plays(self) -> None:
        """The video runs: half a second passes in it, or it comes to its end before this machine looks again."""
        before = self.until("document.querySelector('video').currentTime")
        self.until(f"document.querySelector('video').currentTime > {before} + 0.5 || document.querySelector('video').ended")


@contextmanager
def looking(browser: Any, address: str, *, path: str = "/", **context: Any) -> Iterator[Look]:
    """A page of the server; at its end it must have asked nobody else, and its console must be empty."""
    opened = browser.new_context(
        **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", "accept_downloads": True} | context
    )
    look = Look(opened.new_page())
    look.page.set_default_timeout(WAIT_MS)
    look.page.on("request", lambda request: look.requested.append(request.url))
    look.page.on("console", lambda message: "willReadFrequently" in message.text or look.said.append(message.text))  # tests read canvases
    look.page.on("pageerror", lambda error: look.said.append(str(error)))
    look.page.goto(address.rstrip("/") + path)
    look.until("/bundle/.test(document.querySelector('#summary').textContent)")
    yield look
    assert [url for url in look.requested if not url.startswith((address, "blob:"))] == []
    assert look.said == [], look.said
    opened.close()
