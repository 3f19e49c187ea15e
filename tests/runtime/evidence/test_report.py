"""The report holds what it says, refers to nothing outside, and shows texts of any kind as text."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("jinja2")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from handed import SIZE, box_at, calibrated_bundle, curve, detection, hand_over, result, write_pair  # noqa: E402
from wsra.runtime.archive.answering import Result  # noqa: E402
from wsra.runtime.evidence.care import FORBIDDEN, care_of  # noqa: E402
from wsra.runtime.evidence.exhibits import exhibits_of  # noqa: E402
from wsra.runtime.evidence.pictures import pictures_of  # noqa: E402
from wsra.runtime.files.writing import sha256_of  # noqa: E402
from wsra.runtime.formats.bundle import read_manifest  # noqa: E402
from wsra.runtime.sentences.notes import Note  # noqa: E402

VOID = {"meta", "img", "br", "path", "rect"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated_bundle(tmp_path_factory.mktemp("report") / "bundle")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"))


def written(results: list[Result], bundle: Path, path: Path) -> Page:
    hand_over(results, bundle, path)
    return Page(path.read_text(encoding="utf-8"))


def check_closed(page: Page) -> None:
    """Nothing is loaded, no script runs, every id is unique, every link leads somewhere, and every picture has words."""
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "script" not in policy
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form", "video", "audio", "use", "foreignobject")
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("srcset", "background", "xlink:href", "action")
            assert "url(" not in (value or "") and "@import" not in (value or "")
            assert name != "src" or (value or "").startswith("data:image/jpeg;base64,")
            assert name != "href" or (value or "")[1:] in ids
    assert all(image["alt"] and image["width"] and image["height"] for image in page.all("img"))


def test_a_report_has_everything(pair: tuple[Path, Path], bundle: Path, tmp_path: Path) -> None:
    video, feat = pair
    first = result(detection(feat), detection(feat, start_s=15.0, end_s=21.0, confidence=0.6))
    first.notes.append(Note("unknown", ("trolley",), "the captions never had “trolley”"))
    page = written([first, result(best=detection(feat, confidence=0.31), query="a red car")], bundle, tmp_path / "r.html")
    check_closed(page)
    words = page.words
    for text in (
        *(
            "2 moments found in 30 minutes of video",
            "likely, 90 %",
            "possible, 60 %",
            "0:00:05",
            "0:00:12",
            "gate-2",
            "2026-11-23 14:05:10",
        ),
        *(
            "the captions never had “trolley”",
            "Not found in 30 minutes of video",
            "Best candidate (not found), 31 %",
            "0.25 per hour",
            "False alarms",
        ),
        *(sha256_of(video), sha256_of(feat), sha256_of(bundle / "manifest.json"), "wsra ground 'x y.mp4'", "fp16", "numpy"),
        *("Use with care", *FORBIDDEN, "None of these is built into wsra"),
    ):
        assert text in words, text
    assert len(page.all("svg")) == 2 and all(svg["role"] == "img" and svg["aria-labelledby"] for svg in page.all("svg"))
    assert len(page.all("article")) == 3 and len(page.all("img")) == 3 * 7
    assert words.count("0.25 per hour 4.50") == 3 and "1. Best candidate" not in words
    assert {header["scope"] for header in page.all("th")} == {"col", "row"}
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(later <= earlier + 1 for earlier, later in pairwise(levels))
    content = b64decode((page.all("img")[0]["src"] or "").partition(",")[2])
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (SIZE[1], SIZE[0], 3)


def test_the_pictures_are_those_of_the_moment(pair: tuple[Path, Path]) -> None:
    (exhibit,) = exhibits_of([result(detection(pair[1], start_s=4.0, end_s=16.0))])
    pictures = pictures_of(exhibit)
    assert pictures.best is not None and pictures.best.time_s == 10.0 and pictures.best.box == pytest.approx(box_at(10.0), abs=0.02)
    assert [still.time_s for still in pictures.strip] == [5.0, 7.0, 9.0, 11.0, 13.0, 15.0]
    for still in pictures.strip:  # the white square fills the middle of its crop
        height, width = still.picture.shape[:2]
        assert still.picture[height // 2 - 3 : height // 2 + 3, width // 2 - 3 : width // 2 + 3].mean() > 240
        assert still.picture[:2].mean() < 200 and 0.2 < (still.picture.mean(axis=2) > 240).mean() < 0.8


def test_a_video_that_is_not_here_and_one_that_is_another(pair: tuple[Path, Path], bundle: Path, tmp_path: Path) -> None:
    video, feat = pair
    (tmp_path / "gate-2.feat").write_bytes(feat.read_bytes())
    page = written([result(detection(tmp_path / "gate-2.feat"))], bundle, tmp_path / "r.html")
    check_closed(page)
    assert "No picture: gate-2.mp4 is not beside gate-2.feat." in page.words and not page.all("img") and page.all("svg")
    (tmp_path / "gate-2.mp4").write_bytes(video.read_bytes() + b"more")
    assert (
        "No picture: gate-2.mp4 is not beside" in written([result(detection(tmp_path / "gate-2.feat"))], bundle, tmp_path / "r.html").words
    )


def test_nothing_at_all(bundle: Path, tmp_path: Path) -> None:
    page = written([Result("nobody", [], [curve()])], bundle, tmp_path / "r.html")
    check_closed(page)
    assert "it holds no candidate" in page.words and not page.all("article")


HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "a\x00b\u202ec",
    "x" * 300,
    "</svg></title>",
    "&lt;",
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=300)), min_size=4, max_size=4))
def test_texts_of_any_kind_are_text(texts: list[str], bundle: Path, tmp_path: Path, pair: tuple[Path, Path]) -> None:
    query, camera, video, note = texts
    (tmp_path / "gate-2.feat").write_bytes(pair[1].read_bytes())
    seen = detection(tmp_path / "gate-2.feat", camera=camera, video=video)
    shown = result(seen, query=query)
    shown = replace(shown, curves=[replace(curve(), title=video)], notes=[Note("time", (), note)])
    page = written([shown], bundle, tmp_path / "r.html")
    check_closed(page)
    assert not any(letter in "".join(page.text) for letter in "\x00\u202e\x1b")


def test_twenty_moments_stay_below_three_megabytes(tmp_path: Path, bundle: Path) -> None:
    """Of a film whose every pixel is noise over a gradient, as no camera's is."""
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 12, (270, 480, 3))

    def noisy(number: int) -> np.ndarray:
        image = np.clip(np.linspace(30, 220, 480)[None, :, None] + np.roll(grain, number * 7, axis=1), 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(image, (960, 540), interpolation=cv2.INTER_LINEAR))

    _, feat = write_pair(
        tmp_path, picture=noisy, size=(960, 540), shown_ms=range(0, 30_000, 1000), group=3, bframes=0, options={"preset": "ultrafast"}
    )
    seen = [detection(feat, start_s=2.0 + number, end_s=8.0 + number) for number in range(20)]
    page = written([result(*seen)], bundle, tmp_path / "r.html")
    assert len(page.all("img")) == 20 * 7 and (tmp_path / "r.html").stat().st_size < 3e6


@pytest.mark.parametrize("false_alarms", [None, 2.0, float("inf")])
def test_how_wrong_it_is(bundle: Path, false_alarms: float | None) -> None:
    care = care_of(read_manifest(bundle), 0.5, false_alarms)
    # PRESENCE finds from log(0.5) on at half an hour, where its table gives exp(log 40 + (log 10 - log 40) * (1 - log 2))
    rate = np.exp(np.log(40) + (np.log(10) - np.log(40)) * (1 + np.log(0.5)))
    expected = {
        None: f"{rate:.2g} times an hour: {rate / 2:.2g} times in the 30 minutes",
        2.0: "2 times an hour: 1 times in the 30 minutes",
        float("inf"): "40 times an hour or more",
    }[false_alarms]
    assert (
        expected in " ".join(care.wrong)
        and "on captions of other videos" in care.wrong[0]
        and "2 hours of video were searched" in care.wrong[0]
    )
