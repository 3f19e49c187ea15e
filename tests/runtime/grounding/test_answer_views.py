"""An answer in a notebook, as a dictionary and as a table of pandas."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")
from handed import detection, write_pair  # noqa: E402
from wsra.runtime.errors import MissingExtraError  # noqa: E402
from wsra.runtime.formats.features import read_features  # noqa: E402
from wsra.runtime.grounding.answers import Answer  # noqa: E402

pytestmark = pytest.mark.device


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    """Two moments of the film with the walking square."""
    _, feat = write_pair(tmp_path)
    features = read_features(feat)
    moments = [detection(feat).moment, detection(feat, start_s=15.0, end_s=21.0, confidence=0.6).moment]
    logits = np.sin(features.times_s[:, 0] / 4).astype(np.float32)
    return Answer("man in <yellow>", "gate-2.mp4", moments, moments[0], logits, 0.0, features.times_s, 0.01, feat)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_in_a_notebook(answer: Answer) -> None:
    page = Page(answer._repr_html_())
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 2 and all(
        (picture["src"] or "").startswith("data:image/jpeg;base64,") and picture["alt"] for picture in pictures
    )
    assert "“man in <yellow>” in gate-2.mp4: 2 moments found" in page.text and "likely, 90 %" in page.text and "possible, 60 %" in page.text
    assert [tag for tag, _ in page.tags].count("svg") == 1 and not any(tag in ("script", "yellow") for tag, _ in page.tags)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    other = Page(replace(answer)._repr_html_())  # another answer in the same notebook has other ids
    assert ids and not set(ids) & {attributes["id"] for _, attributes in other.tags if "id" in attributes}


def test_in_a_notebook_without_its_video(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "gate-2.mp4").unlink()
    assert "<img" not in answer._repr_html_() and "<svg" in answer._repr_html_()
    assert "<img" not in replace(answer, source=None)._repr_html_()
    nothing = replace(answer, moments=[], best=replace(answer.moments[0], confidence=0.2), source=None)
    assert "not found; the best candidate:" in nothing._repr_html_() and "not found (best candidate 20 %)" in nothing._repr_html_()
    assert "not found" in replace(nothing, best=None, logits=nothing.logits[:0], times_s=nothing.times_s[:0])._repr_html_()


def test_a_damaged_video_costs_the_pictures_only(answer: Answer, tmp_path: Path) -> None:
    video = tmp_path / "gate-2.mp4"
    video.write_bytes(bytes(video.stat().st_size))
    assert "<p>no pictures: " in answer._repr_html_() and "<svg" in answer._repr_html_()


def test_as_a_dictionary(answer: Answer) -> None:
    table = json.loads(json.dumps(answer.to_dict()))
    assert table["found"] and table["best_candidate"] is None and [one["likelihood"] for one in table["moments"]] == ["likely", "possible"]
    assert table["moments"][0]["start_s"] == 5.0 and table["moments"][0]["box"] == pytest.approx(answer.moments[0].box)
    nothing = replace(answer, moments=[]).to_dict()
    assert not nothing["found"] and nothing["best_candidate"]["likelihood"] == "not found"


def test_as_a_table(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    table = answer.to_pandas()
    assert list(table["confidence"]) == [0.9, 0.6] and list(table["likelihood"]) == ["likely", "possible"]
    empty = replace(answer, moments=[]).to_pandas()
    assert list(empty.columns) == list(table.columns) and len(empty) == 0
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"to_pandas needs pandas.*wsra\[pandas\]"):
        answer.to_pandas()
