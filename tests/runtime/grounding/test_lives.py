from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objects import lives_bundle, object_features
from presences import ALWAYS

from wsra.runtime.archive.report import curve_drawing, where_in_picture
from wsra.runtime.archive.request import Question, Request
from wsra.runtime.archive.search import search
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import BackendError, ConfigError, FeatureError
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.lives import Lives, best_lives
from wsra.runtime.grounding.recording import Part, joined
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.kernels.choose import kernels_on_cpu, open_kernel
from wsra.runtime.spans.moments import iou

pytestmark = pytest.mark.device
QUERIES = ["a man in a yellow shirt walks past", "a woman with a bag"]
LIVES_S = [
    (0.0, 3.2),
    (1.5, 4.0),
    (2.0, 12.5),
    (8.0, 9.0),
    (10.25, 11.0),
    (9.5, 14.0),
    (20.0, 33.0),
    (21.0, 34.0),
    (40.5, 47.0),
    (55.0, 60.0),
]


def lives_of(lives_s: list[tuple[float, float]], of_row: list[int]) -> Lives:
    count = len(lives_s)
    return Lives(
        np.array(of_row, np.int64), np.array(lives_s).reshape(-1, 2), np.arange(count), np.zeros(count), np.zeros((count, 4), np.float32)
    )


@given(st.lists(st.lists(st.floats(-800, 800), min_size=1, max_size=5), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_score_of_a_life_is_the_log_mean_exp_of_its_rows(rows: list[list[float]], random: object) -> None:
    flat = [(value, track) for track, values in enumerate(rows) for value in values]
    random.shuffle(flat)  # type: ignore[attr-defined]
    lives = lives_of([(0.0, 1.0)] * len(rows), [track for _, track in flat])
    found = lives.scores(np.array([value for value, _ in flat]))
    for score, values in zip(found, rows, strict=True):
        top = max(values)
        assert score == pytest.approx(top + math.log(math.fsum(math.exp(v - top) for v in values) / len(values)), abs=1e-9, rel=1e-12)


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.5, 20), st.floats(-3, 3)), min_size=0, max_size=12),
    st.integers(1, 6),
)
def test_suppression_keeps_what_a_plain_loop_keeps(candidates: list[tuple[float, float, float]], top_k: int) -> None:
    lives = lives_of([(start, start + length) for start, length, _ in candidates], list(range(len(candidates))))
    scores = np.array([score for _, _, score in candidates])
    kept: list[int] = []
    for place in sorted(range(len(candidates)), key=lambda place: (-scores[place], place)):
        if scores[place] > 0 and all(iou(lives.lives_s[[place]], lives.lives_s[other])[0] <= 0.5 for other in kept):
            kept.append(place)
    assert best_lives(lives, scores, top_k=top_k, above=0.0).tolist() == kept[:top_k]


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    snippets = Grounder.open(bundle_folder, threads=1)
    video = object_features(LIVES_S, width=snippets.manifest.feature_width, backbone=snippets.manifest.backbone)
    rows = replace(
        video, tracks=None, times_s=np.stack([np.arange(len(video)), np.arange(1, len(video) + 1)], 1).astype(float), duration_s=999.0
    )
    theta = float(np.median(snippets.answer(rows, QUERIES[0]).logits))  # half of the rows speak for the sentence
    return lives_bundle(bundle_folder, tmp_path_factory.mktemp("lives") / "bundle", theta=theta, presence=ALWAYS)


@pytest.fixture(scope="module")
def grounder(bundle: Path) -> Grounder:
    return Grounder.open(bundle, threads=1, kernel="numpy")


@pytest.fixture
def video(grounder: Grounder) -> Features:
    return object_features(LIVES_S, width=grounder.manifest.feature_width, backbone=grounder.manifest.backbone)


def test_moments_are_lives_with_track_and_box(grounder: Grounder, video: Features) -> None:
    answer = grounder.answer(video, QUERIES[0])
    assert video.tracks is not None and len(answer.moments) >= 2
    for moment in answer.moments:
        assert moment.track is not None
        assert (moment.start_s, moment.end_s) == LIVES_S[moment.track]
        assert moment.box == pytest.approx(video.tracks.view_boxes[moment.track].tolist())
        assert moment.best_s == video.tracks.views_s[moment.track]
        rows = answer.curve[video.tracks.of_row == moment.track]
        assert moment.score == pytest.approx(np.log(np.exp(rows).mean()))
    scores = [moment.score for moment in answer.moments]
    assert scores == sorted(scores, reverse=True) and len(scores) == len({moment.track for moment in answer.moments})


def test_top_k_changes_no_moment(grounder: Grounder, video: Features) -> None:
    many = grounder.ground(video, QUERIES[0], top_k=20)
    assert len(many) > 2
    for top_k in (1, 2, 3):
        assert grounder.ground(video, QUERIES[0], top_k=top_k) == many[:top_k]


def test_neither_chunk_nor_batch_nor_threads_change_an_answer(grounder: Grounder, bundle: Path, video: Features) -> None:
    expected = [grounder.answer(video, query).moments for query in QUERIES]
    assert [answer.moments for answer in grounder.answers(video, QUERIES)] == expected
    grounder.scorer._chunk, before = 7, grounder.scorer._chunk
    try:
        assert [answer.moments for answer in grounder.answers(video, QUERIES)] == expected
    finally:
        grounder.scorer._chunk = before
    with Grounder.open(bundle, threads=2, kernel="numpy") as two:
        assert [answer.moments for answer in two.answers(video, QUERIES)] == expected


def test_kernels_agree(grounder: Grounder, bundle: Path, video: Features) -> None:
    opened, expected = open_bundle(bundle), grounder.answer(video, QUERIES[0])
    for name in kernels_on_cpu():
        kernel = open_kernel(opened, Route("fp32", "cpu"), this_device(), RunSettings(kernel=name, threads=1), on_cpu=True)
        scorer = SnippetScorer(grounder.scorer.keys_graph, kernel, reference=grounder.scorer.reference)
        found = Grounder(grounder.manifest, grounder.encoder, scorer, bundle=bundle, precision=grounder.precision).answer(video, QUERIES[0])
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
        assert [moment.track for moment in found.moments] == [moment.track for moment in expected.moments]


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 59), min_size=1, max_size=5, unique=True))
def test_parts_of_a_file_are_the_whole(grounder: Grounder, cuts: list[int]) -> None:
    video = object_features(LIVES_S, width=grounder.manifest.feature_width, backbone=grounder.manifest.backbone)
    edges = [0.0, *sorted(float(cut) for cut in cuts), 60.0]
    rows = np.searchsorted(video.times_s[:, 0], edges)
    parts = [Part(video, int(a), int(b), s, e) for a, b, s, e in zip(rows[:-1], rows[1:], edges[:-1], edges[1:], strict=True)]
    whole, found = grounder.answer(video, QUERIES[0], top_k=9), grounder.answer(joined(parts, video="v"), QUERIES[0], top_k=9)
    np.testing.assert_allclose(found.logits, whole.logits, atol=1e-5)  # BLAS rounds sums by the size of a block
    assert [(m.start_s, m.end_s, m.track) for m in found.moments] == [(m.start_s, m.end_s, m.track) for m in whole.moments]
    assert [m.score for m in found.moments] == pytest.approx([m.score for m in whole.moments], abs=1e-5)


def in_two_files(grounder: Grounder, *, box: tuple[float, ...] = (0.4, 0.4, 0.5, 0.8)) -> tuple[Features, Features]:
    """Somebody is in the picture over the boundary, at (0.4, 0.4) to (0.5, 0.8) before it and in `box` after it."""
    same = {"width": grounder.manifest.feature_width, "backbone": grounder.manifest.backbone, "duration_s": 30.0}
    vector = np.random.default_rng(5).normal(size=(2, grounder.manifest.feature_width))
    one = object_features([(3.0, 6.0), (25.0, 29.9)], boxes=[(0, 0, 0.1, 0.3), (0.4, 0.4, 0.5, 0.8)], values=vector, video="a.mp4", **same)
    other = object_features([(0.1, 4.0), (9.0, 12.0)], boxes=[box, (0.8, 0, 0.9, 0.3)], values=vector[::-1], video="b.mp4", **same)
    return one, other


def spans(grounder: Grounder, *parts: Features) -> set[tuple[float, float]]:
    lenient = Grounder(replace(grounder.manifest, theta=-1e3), grounder.encoder, grounder.scorer, bundle=grounder.bundle, precision="fp32")
    return {(round(m.start_s, 3), round(m.end_s, 3)) for m in lenient.ground(joined(parts, video="camera"), QUERIES[0], top_k=9)}


def test_a_life_over_the_boundary_of_two_files_is_one(grounder: Grounder) -> None:
    assert spans(grounder, *in_two_files(grounder)) == {(3.0, 6.0), (25.0, 34.0), (39.0, 42.0)}


@pytest.mark.parametrize("box", [(0.7, 0.4, 0.8, 0.8), (0.4, 0.4, 0.43, 0.5)], ids=["elsewhere", "much smaller"])
def test_another_one_at_the_boundary_stays_another(grounder: Grounder, box: tuple[float, ...]) -> None:
    assert spans(grounder, *in_two_files(grounder, box=box)) == {(3.0, 6.0), (25.0, 29.9), (30.1, 34.0), (39.0, 42.0)}


def test_what_continue_says_counts_more_than_places(grounder: Grounder) -> None:
    one, other = in_two_files(grounder, box=(0.7, 0.4, 0.8, 0.8))
    assert other.tracks is not None
    one = replace(one, extra={"camera_sha256": "abc"})
    known = replace(other, extra={"continues": "abc"}, tracks=replace(other.tracks, continues=np.array([1, -1], np.int32)))
    assert spans(grounder, one, known) == {(3.0, 6.0), (25.0, 34.0), (39.0, 42.0)}
    stranger = replace(known, extra={"continues": "of another state"})
    assert len(spans(grounder, one, stranger)) == 4


def test_a_video_in_which_nothing_moves_is_answered(grounder: Grounder) -> None:
    empty = object_features([], width=grounder.manifest.feature_width, backbone=grounder.manifest.backbone)
    answer = grounder.answer(empty, QUERIES[0])
    assert answer.moments == [] and len(answer.curve) == 0
    drawing = curve_drawing(answer.curve, answer.times_s, 60.0, width=40, marked=[]).plain
    assert drawing.splitlines()[-1].endswith("0:01:00.0")
    one, _ = in_two_files(grounder)
    assert spans(grounder, one, empty) == spans(grounder, one)


def test_nan_is_refused(grounder: Grounder, video: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = np.zeros((1, len(video)), np.float32)
    bad[0, 3] = np.nan
    monkeypatch.setattr(grounder.scorer, "logits", lambda recording, text: bad)
    with pytest.raises(BackendError, match="NaN or infinite scores"):
        grounder.ground(video, QUERIES[0])


def test_plans_and_features_that_do_not_fit(
    grounder: Grounder, video: Features, bundle_folder: Path, make_features: Callable[..., Features]
) -> None:
    with pytest.raises(ConfigError, match="--plan maximal: .* for features of objects; expected tracks"):
        grounder.ground(video, QUERIES[0], plan="maximal")
    with pytest.raises(ConfigError, match="scores lives of objects, not given windows"):
        grounder.window_scores(video, QUERIES, np.array([[0.0, 5.0]]))
    snippets = Grounder.open(bundle_folder, threads=1)
    with pytest.raises(ConfigError, match="--plan tracks: .* for features of snippets"):
        snippets.ground(make_features(9, video.width, backbone=video.backbone), QUERIES[0], plan="tracks")
    with pytest.raises(FeatureError, match="features of objects; the bundle .* expects those of snippets"):
        snippets.ground(video, QUERIES[0])
    with pytest.raises(FeatureError, match="features of snippets; the bundle .* expects those of objects"):
        grounder.ground(make_features(9, video.width, backbone=video.backbone), QUERIES[0])


def ask(bundle: Path, *inputs: Path, **changes: object) -> list[tuple[float, float, str, str | None]]:
    settings = RunSettings("fp32", "cpu", threads=1, kernel="numpy")
    request = Request(inputs, Question((QUERIES[0],), top_k=9), bundle, settings, between=changes.get("between"))  # type: ignore[arg-type]
    found = search(request).results[0].detections
    return sorted((round(s.moment.start_s, 3), round(s.moment.end_s, 3), s.moment.video, s.until and s.until.video) for s in found)


def test_an_archive_joins_lives_and_between_cuts_them(grounder: Grounder, bundle: Path, tmp_path: Path) -> None:
    one, other = in_two_files(grounder)
    lenient = lives_bundle(bundle, tmp_path / "lenient", theta=-1e3, presence=ALWAYS)
    folder = tmp_path / "archive"
    folder.mkdir()
    write_features(folder / "yard-20261123-140000.feat", replace(one, video="yard-20261123-140000.mp4"))
    write_features(folder / "yard-20261123-140030.feat", replace(other, video="yard-20261123-140030.mp4"))
    first, second = "yard-20261123-140000.mp4", "yard-20261123-140030.mp4"
    assert ask(lenient, folder) == [(3.0, 6.0, first, None), (9.0, 12.0, second, None), (25.0, 34.0, first, second)]
    between = ("2026-11-23T14:00:04", "2026-11-23T14:00:32")
    assert ask(lenient, folder, between=between) == [(4.0, 6.0, first, None), (25.0, 32.0, first, second)]


def test_where_in_the_picture(grounder: Grounder, video: Features) -> None:
    moment = grounder.ground(video, QUERIES[0])[0]
    boxes = [(0.0, 0, 0.3, 1), (0.4, 0, 0.6, 1), (0.9, 0, 1.0, 1)]
    assert [where_in_picture(replace(moment, box=box)) for box in boxes] == ["left", "middle", "right"]
    assert where_in_picture(replace(moment, box=None)) == ""
