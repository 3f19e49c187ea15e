"""Modules of the page, in Chromium, beside the definition: heat, boxes, the state in the address, and the words of care."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("playwright")
from browsers import WAIT_MS

from wsra.runtime.drawing.boxes import ObjectPath
from wsra.runtime.evidence.care import FORBIDDEN, LEAD, NOT_BUILT

STATIC = Path(__file__).parents[3] / "runtime" / "view" / "static"


class Quiet(SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {".js": "text/javascript", ".html": "text/html"}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """A page of nothing, from which modules can be imported."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(STATIC)))
    Thread(target=server.serve_forever, daemon=True).start()
    opened = browser.new_page(timezone_id="Europe/Berlin")
    opened.set_default_timeout(WAIT_MS)
    opened.goto(f"http://127.0.0.1:{server.server_port}/icon.svg")
    yield opened
    opened.close()
    server.shutdown()
    server.server_close()


def test_bins_keep_the_highest_and_gaps_stay(page: Any) -> None:
    rng = np.random.default_rng(0)
    count, window = 97, (1000.0, 2940.0)
    true = np.full(count, np.nan)
    strips = []
    for _ in range(4):
        first, length = int(rng.integers(0, 60)), int(rng.integers(5, 30))
        values = [None if rng.random() < 0.3 else float(np.float32(rng.normal())) for _ in range(length)]
        strips.append({"query": 0, "camera": "c", "first": first, "values": values})
        for place, value in enumerate(values):
            true[first + place] = np.fmax(true[first + place], np.nan if value is None else value)
    views = [tuple(sorted(rng.uniform(*window, 2))) for _ in range(50)]
    found = page.evaluate(
        """async ([strips, count, window, views]) => {
            const { Heat } = await import("/heat.js");
            const heat = new Heat(1, count, () => ({ from: window[0], to: window[1] }));
            strips.forEach(strip => heat.take(strip));
            return views.map(([from, to]) => { const value = heat.highest("c", 0, from, to); return Number.isNaN(value) ? null : value; });
        }""",
        [strips, count, window, views],
    )
    edges = np.linspace(*window, count + 1)
    for (start, end), value in zip(views, found, strict=True):
        inside = [bin_ for bin_ in range(count) if edges[bin_ + 1] > start + 1e-6 and edges[bin_] < end - 1e-6]
        expected = np.fmax.reduce(true[inside])
        assert value is None if np.isnan(expected) else value == expected


def test_boxes_are_those_of_reports(page: Any) -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.3, 5, 12))
    path = ObjectPath(times, rng.random((12, 4)))
    asked = [float(at) for at in np.linspace(times[0] - 4, times[-1] + 4, 101)]
    rows = [[float(at), *map(float, box)] for at, box in zip(times, path.boxes, strict=True)]
    found = page.evaluate(
        "async ([rows, asked]) => { const { boxAt } = await import('/boxes.js'); return asked.map(at => boxAt(rows, at)); }", [rows, asked]
    )
    for at, box in zip(asked, found, strict=True):
        expected = path.box(at)
        assert (box is None) == (expected is None)
        assert expected is None or box == pytest.approx(expected, abs=1e-9)
    assert None in found and any(found)


def test_the_address_keeps_the_state(page: Any) -> None:
    state = {
        "sentences": ["a & b = c #1", "<b>é</b>"], "cameras": ["c0123456789ab", "cffffffffffff"],
        "from": 1764000000, "to": 1764000060.5, "dailyFrom": "22:00", "dailyTo": "06:00", "topK": 7, "accepted": 0.5, "least": 60,
        "foundOnly": True, "view": {"from": 10.5, "to": 20}, "moment": {"query": 1, "video": "v0123456789ab", "start": 12.34},
    }  # fmt: skip
    again = "async text => { const s = await import('/state.js'); return s.fromHash(text); }"
    written = page.evaluate("async state => { const s = await import('/state.js'); return s.toHash(state); }", state)
    assert page.evaluate(again, written) == state
    for text in ("", "#", "#q=", "#top_k=1e99&view=5~1&moment=x~y~z&camera=../..&from=NaN&daily_from=25&least=-1"):
        assert page.evaluate(again, text) == page.evaluate("async () => (await import('/state.js')).fresh()")


@pytest.mark.parametrize("span_s", [8, 90, 4000, 90_000, 700_000, 6_000_000])
def test_ticks_stand_at_whole_local_times(page: Any, span_s: int) -> None:
    """Also over the night in which the clock goes back."""
    start = 1761433200 - span_s / 3  # 2026's neighbour: 26 October 2025, 01:00 in Berlin
    found = page.evaluate("async ([from, to]) => (await import('/times.js')).ticks({ from, to }, true, 10)", [start, start + span_s])
    at = [tick["at"] for tick in found]
    assert at == sorted(set(at)) and 1 <= len(at) <= 13
    assert all(start <= one <= start + span_s and one == int(one) for one in at)
    if span_s > 86400:
        assert any(tick["strong"] for tick in found)


def test_words_of_care_and_every_string_is_there(page: Any) -> None:
    words = page.evaluate("async () => { const { words } = await import('/strings.js'); return JSON.parse(JSON.stringify(words)); }")
    assert (words["lead"], tuple(words["careList"]), words["careEnd"]) == (LEAD, FORBIDDEN, NOT_BUILT)
    html = (STATIC / "index.html").read_text()
    used = set(re.findall(r'data-(?:text|label)="(\w+)"', html))
    names = set(page.evaluate("async () => Object.keys((await import('/strings.js')).words)"))
    code = "".join(path.read_text() for path in sorted(STATIC.glob("*.js")))
    used |= {piece for piece in names if f"words.{piece}" in code or f'["{piece}"' in code}
    assert used <= names, used - names
    assert names - used == set(), "strings that nothing shows"
    asked = set(re.findall(r"\bwords\.(\w+)", code))
    assert asked <= names, asked - names


def test_nothing_becomes_markup() -> None:
    code = {path.name: path.read_text() for path in STATIC.glob("*.js")}
    for name, text in code.items():
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"):
            assert word not in text, (name, word)
    assert " style=" not in (STATIC / "index.html").read_text() and " on" not in re.sub(r">[^<]*<", "", (STATIC / "index.html").read_text())


def test_what_comes_without_a_pause_is_drawn_meanwhile(page: Any) -> None:
    """Answers of many recordings may come faster than the page draws; the first is shown at once, and the last is not forgotten."""
    drawn, last = page.evaluate(
        """async () => {
            const { paced } = await import("/dom.js");
            const real = [performance.now, setTimeout], drawn = [], timers = [];
            let now = 1000, number = 0;
            performance.now = () => now;
            window.setTimeout = (call, wait) => timers.push({ call, at: now + wait });
            const tick = () => { for (const timer of timers.splice(0)) if (timer.at <= now) timer.call(); else timers.push(timer); };
            try {
                const call = paced((number) => drawn.push([number, now - 1000]), 60);
                for (; now < 1500; now += 10) { call(number++); tick(); }
                for (; now < 1700; now += 10) tick();
            } finally {
                [performance.now, window.setTimeout] = real;
            }
            return [drawn, number - 1];
        }"""
    )
    numbers, times_ms = zip(*drawn, strict=True)
    assert list(times_ms) == list(range(0, 541, 60))
    assert list(numbers) == [at // 10 for at in times_ms[:-1]] + [last] and last == 49


def test_characters_that_turn_the_direction_are_seen(page: Any) -> None:
    """Else `gate\u202e4pm.exe` looks like `gateexe.mp4`; marks of right-to-left languages stay."""
    shown = page.evaluate("""async text => (await import("/dom.js")).make("p", { text }).textContent""", "gate\u202e4pm.exe \u200fשער")
    assert shown == "gate\\u202e4pm.exe \u200fשער"
