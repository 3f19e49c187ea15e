"""Strips beside plain loops over seconds and bins; the cameras and the times of day that a request asks."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from presences import upgrade

from wsra.runtime.archive.answering import Answered
from wsra.runtime.archive.cameras import Footage, whole
from wsra.runtime.archive.opened import OpenBundle
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import SearchResults, search, search_open
from wsra.runtime.archive.strips import StripWindow, strip_of
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.errors import ConfigError, DataError
from wsra.runtime.formats.wallclock import instant

pytestmark = pytest.mark.device
FIXTURES = Path(__file__).parents[2] / "fixtures" / "v0.1.0"
SETTINGS = RunSettings("fp32", "cpu", threads=1)
START = datetime(2026, 11, 23, 14, 0, tzinfo=timezone.utc)
BUS = Question(("the yellow bus",), top_k=99, false_alarms=1e9)


def footage(start: datetime | None, count: int) -> Footage:
    return Footage(Path("a.feat"), "a.mp4", None if start is None else "a", start, "name", float(count), count, False)


@given(
    rows=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4), st.floats(-5, 5)), min_size=1, max_size=30),
    ahead=st.integers(-60, 60),
    length=st.integers(1, 80),
    bins=st.integers(1, 90),
    clock=st.booleans(),
)
def test_a_bin_holds_the_highest_row_that_touches_it(
    rows: list[tuple[int, int, float]], ahead: int, length: int, bins: int, clock: bool
) -> None:
    """Times are whole quarters of seconds, bins powers of two of them at best, so a touch at an edge is tested in whole numbers."""
    times_s = np.array([(start / 4, (start + size) / 4) for start, size, _ in rows])
    curve = np.array([value for _, _, value in rows])
    zero = instant(START).timestamp()
    window = StripWindow(zero + ahead / 4, zero + (ahead + length) / 4, bins)
    strip = strip_of(curve, times_s, 11.0, (whole(footage(START if clock else None, 11)),), window)
    shift, span = (ahead, length) if clock else (0, 44)
    expected = np.full(bins, np.nan)
    for start, size, value in rows:
        for place in range(bins):
            if (start - shift) * bins < (place + 1) * span and (start + size - shift) * bins > place * span:
                expected[place] = np.fmax(expected[place], value)
    got = np.full(bins, np.nan)
    got[strip.first : strip.first + len(strip.values)] = strip.values
    # Divided in floating point, an edge may fall into the next bin: what differs touches an edge.
    differs = ~((got == expected.astype(np.float32)) | (np.isnan(got) & np.isnan(expected)))
    edges = {(start - shift) * bins / span for start, _, _ in rows} | {(start + size - shift) * bins / span for start, size, _ in rows}
    near = {round(edge) for edge in edges if abs(edge - round(edge)) < 1e-6}
    assert all(place in near or place + 1 in near for place in np.flatnonzero(differs).tolist())
    assert strip.clock == clock


def test_a_window_without_length_is_refused() -> None:
    for window in ((1.0, 1.0, 5), (2.0, 1.0, 5), (0.0, 1.0, 0)):
        with pytest.raises(ConfigError, match="expected an end after the start"):
            StripWindow(*window)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURES, tmp_path / "old")
    upgrade(tmp_path / "old" / "bundle")
    (tmp_path / "old" / "yard").mkdir()
    for camera, hour in (("ch01", 13), ("ch01", 22), ("ch02", 22)):
        shutil.copy(tmp_path / "old" / "features" / "val3.feat", tmp_path / "old" / "yard" / f"{camera}_2026-11-23_{hour}-00-00.feat")
    shutil.copy(tmp_path / "old" / "features" / "val3.feat", tmp_path / "old" / "yard" / "door.feat")
    return tmp_path / "old"


def asked(place: Path, **changes: object) -> SearchResults:
    return search(Request([place / "yard"], BUS, place / "bundle", SETTINGS, **changes))  # type: ignore[arg-type]


def cameras(found: SearchResults) -> set[tuple[str | None, int | None]]:
    return {(seen.camera, None if seen.start is None else seen.start.hour) for seen in found.results[0].detections}


def test_cameras_and_times_of_day(place: Path) -> None:
    everything = cameras(asked(place))
    assert everything == {("ch01", 13), ("ch01", 22), ("ch02", 22), (None, None)}
    assert cameras(asked(place, cameras=("ch01",))) == {("ch01", 13), ("ch01", 22)}
    assert cameras(asked(place, cameras=("val3",))) == {(None, None)}  # by the name of its video
    assert cameras(asked(place, daily=("22:00", "06:00"))) == {("ch01", 22), ("ch02", 22)}
    assert cameras(asked(place, daily=("22:00", "06:00"), cameras=("ch01",))) == {("ch01", 22)}
    both = asked(place, between=("2026-11-23T12:00", "2026-11-23T14:00"), daily=("06:00", "22:00"))
    assert cameras(both) == {("ch01", 13)} and both.hours < asked(place).hours
    with pytest.raises(DataError, match="--camera ch09: there is no such camera; expected one of ch01, ch02"):
        asked(place, cameras=("ch09",))
    with pytest.raises(ConfigError, match="--daily 2026-11-23 2026-11-24: expected two of the day"):
        asked(place, daily=("2026-11-23", "2026-11-24"))


def test_answers_of_each_recording_come_with_their_strip(place: Path) -> None:
    """And a listing that is known gives the same answers."""
    zero = instant(datetime(2026, 11, 23, 22, 0)).timestamp()
    question = Question(BUS.queries, top_k=99, false_alarms=1e9, window=StripWindow(zero - 3600, zero + 3600, 720))
    request = Request([place / "yard"], question, place / "bundle", SETTINGS)
    heard: list[Answered] = []
    with OpenBundle(place / "bundle", Route("fp32", "cpu"), SETTINGS) as opened:
        answers = search_open(opened, request, each=heard.append)
    seen = [one for answered in heard for (one,) in answered.seen]
    assert len(seen) == 4 and sum(len(one.detections) for one in seen) == len(answers.results[0].detections)
    strips = {one.strip.feat.name: one.strip for one in seen if one.strip is not None}
    assert len(strips) == 4 and not strips["door.feat"].clock
    assert len(strips["ch01_2026-11-23_13-00-00.feat"].values) == 0
    late = strips["ch02_2026-11-23_22-00-00.feat"]
    assert late.first == 360 and len(late.values) > 0
    assert max(one.curve.curve.max() for one in seen) == pytest.approx(float(np.nanmax(late.values)), rel=1e-6)
