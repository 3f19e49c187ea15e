"""The page of `wsra view` in Debian's Chromium: how long loading and answers take, by the clock of the browser."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WAIT_S = 60.0
# Run before the page's own programs: when a search field first has the focus (the page gives it after it knows the archive), and, for
# each question, when Enter was pressed and when the frames that show the first card and the final answers begin to be drawn.
_CLOCK = """(() => {
  const seen = (window.seen = { usable: null });
  const frame = (name) => requestAnimationFrame(() => (seen[name] ??= performance.now()));
  const look = () => {
    if (seen.enter === undefined) return;
    if (seen.first === null && document.querySelector("#answers .card")) frame("first");
    if (seen.last === null && / found for /.test(document.querySelector("#status").textContent)) frame("last");
  };
  addEventListener("focusin", (event) => {
    if (event.target.matches(".sentence-field")) seen.usable ??= performance.now();
  }, true);
  addEventListener("keydown", (event) => {
    if (event.key === "Enter") Object.assign(seen, { enter: event.timeStamp, first: null, last: null });
  }, true);
  addEventListener("DOMContentLoaded", () => {
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
})()"""
_SIZES = """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .map((entry) => [entry.name, entry.transferSize])"""
_PICTURES = (".svg", ".png", ".ico", ".jpg")


class Browser:
    """A browser with one page open for questions.

    Args (constructor):
        browser: of Playwright.
        address: of the page.
    """

    def __init__(self, browser: Any, address: str) -> None:
        self._browser, self._address = browser, address
        self._page: Any = self._opened()[1]

    def ask(self, sentence: str) -> tuple[float, float]:
        """Type a sentence and press Enter; seconds to the first card and to the final answers."""
        self._page.get_by_label("Sentence 1", exact=True).fill(sentence)
        self._page.keyboard.press("Enter")
        seen = self._until(self._page, "seen.enter !== undefined && seen.first !== null && seen.last !== null && seen")
        return (seen["first"] - seen["enter"]) / 1000, (seen["last"] - seen["enter"]) / 1000

    def load(self) -> tuple[float, dict[str, int]]:
        """Open the page in a new profile; seconds until a search field can be used, and the bytes of every request."""
        context, page = self._opened()
        usable_ms = page.evaluate("seen.usable")
        sizes = {url.removeprefix(self._address): size for url, size in page.evaluate(_SIZES)}
        context.close()
        return usable_ms / 1000, sizes

    def _opened(self) -> tuple[Any, Any]:
        context = self._browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(_CLOCK)
        page = context.new_page()
        page.goto(self._address)
        self._until(page, "seen.usable !== null")
        return context, page

    @staticmethod
    def _until(page: Any, condition: str) -> Any:
        """Wait until JavaScript is true; the page forbids Playwright's own way, which evaluates strings in it."""
        end = time.monotonic() + WAIT_S
        while not (found := page.evaluate(condition)):
            if time.monotonic() > end:
                raise SystemExit(f"the page did not come to this: {condition}")
            page.wait_for_timeout(50)
        return found


@contextmanager
def opened_pages(address: str) -> Iterator[Browser]:
    """Open Chromium with the page in it.

    Args:
        address: of the page.
    """
    from playwright.sync_api import sync_playwright

    program = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if program is None:
        raise SystemExit("Chromium is not installed; expected chromium, chromium-browser or google-chrome on the PATH")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield Browser(browser, address)
        browser.close()


def timed_loads(browser: Browser, times: int) -> tuple[list[float], dict[str, tuple[int, int]]]:
    """Open the page several times, each in a new profile.

    Returns:
        Seconds of each until a search field can be used; requests and bytes (with HTTP's headers) of the first, by kind.
    """
    loads = [browser.load() for _ in range(times)]
    kinds: dict[str, list[int]] = {"the page, its styles and programs": [], "what the archive holds": [], "pictures": []}
    for url, size in loads[0][1].items():
        kind = "what the archive holds" if url.startswith("/api/") else "the page, its styles and programs"
        kinds["pictures" if url.endswith(_PICTURES) else kind].append(size)
    return [seconds for seconds, _ in loads], {kind: (len(of), sum(of)) for kind, of in kinds.items()}
