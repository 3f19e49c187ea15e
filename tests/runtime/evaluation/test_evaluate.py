"""`wsra evaluate`: formats, predictions and their faults, controls, intervals, and a bundle from end to end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.cli import app
from wsra.runtime.errors import BundleError, ConfigError, DataError, FeatureError, WsraError
from wsra.runtime.evaluation.controls import fixed_windows, of_other_videos
from wsra.runtime.evaluation.didemo import chance_scores
from wsra.runtime.evaluation.evaluate import Evaluation, EvaluationRequest, evaluate, intervals
from wsra.runtime.formats.annotation_formats import read_durations
from wsra.runtime.formats.annotations import Annotation, read_annotations, read_captions
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.formats.predictions import read_predictions
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.spans.windows import relative_windows, segment_windows

pytestmark = pytest.mark.device

ROWS = [
    {"qid": 1, "query": "a red car", "vid": "a", "duration": 20, "relevant_windows": [[0, 10]]},
    {"qid": 2, "query": "a dog", "vid": "a", "duration": 20, "relevant_windows": [[10, 20]]},
    {"qid": 3, "query": "a cat", "vid": "b", "duration": 40, "relevant_windows": [[0, 8], [20, 40]]},
]
ANSWERS: dict[int, list[list[float]]] = {1: [[0, 10, 0.9]], 2: [[0, 10, 0.8], [10, 20, 0.1]], 3: [[20, 40, 3.0], [0, 8, 2.0]]}


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def predicted(path: Path, answers: dict[Any, Any], **more: Any) -> Path:
    vids = {row["qid"]: row["vid"] for row in ROWS}
    rows = [{"qid": q, "vid": vids.get(q, "a"), "query": "q", "pred_relevant_windows": w, **more} for q, w in answers.items()]
    return lines(path, rows)


def run(folder: Path, answers: dict[Any, Any] = ANSWERS, **settings: Any) -> Evaluation:
    annotations = lines(folder / "annotations.jsonl", ROWS)
    return evaluate(EvaluationRequest(predicted(folder / "p.jsonl", answers), annotations, settings.pop("protocol", "spans"), **settings))


# --- annotations


def test_every_form_gives_the_same_annotations(tmp_path: Path) -> None:
    uca = tmp_path / "uca.json"
    table = {"a": {"duration": 20, "timestamps": [[0, 10], [10, 20]], "sentences": ["a red car", "a dog"]}}
    text = tmp_path / "charades.txt"
    text.write_text("a 0 10##a red car\na 10 20##a dog\n")
    (tmp_path / "durations.json").write_text('{"a": {"duration": 20.0}}')
    expected = [("a red car", "a", 20.0, ((0.0, 10.0),)), ("a dog", "a", 20.0, ((10.0, 20.0),))]
    for content in (json.dumps(table), json.dumps(table, indent=1)):
        uca.write_text(content)
        for found in (read_annotations(uca), read_annotations(text, durations=tmp_path / "durations.json")):
            assert [(a.query, a.vid, a.duration_s, a.windows_s) for a in found] == expected
    assert [a.qid for a in read_annotations(uca)] == ["a#0", "a#1"]
    assert [c.query for c in read_captions(text)] == ["a red car", "a dog"]  # captions need no duration
    with pytest.raises(DataError, match=r"line 1: no duration of a; give .* --durations"):
        read_annotations(text)


def test_didemo_gives_one_window_per_annotator(tmp_path: Path) -> None:
    path = tmp_path / "didemo.json"
    row = {"annotation_id": 7, "video": "v.avi", "description": "a dog", "num_segments": 5, "times": [[0, 0], [0, 0], [3, 4]]}
    path.write_text(json.dumps([row]))
    (found,) = read_annotations(path)
    assert (found.qid, found.vid, found.duration_s) == ("7", "v.avi", 25.0)
    assert found.windows_s == ((0.0, 5.0), (0.0, 5.0), (15.0, 25.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "line 1: not JSON .*; expected JSON lines with .*; DiDeMo's JSON; UCA's JSON; or Charades-STA's text"),
        ("", "no annotations in it"),
        ("[1]", "entry 0: not an entry of DiDeMo"),
        ("[{", "line 1: not JSON"),
        ("a 1 x##walks\n", "line 1: 'a 1 x##walks'; expected VIDEO START END##SENTENCE"),
        ('{"a": {"duration": 3, "timestamps": [], "sentences": ["x"]}}', "video a: not an entry of UCA"),
        ('{"qid": 1, "query": "x", "vid": "a"}\n', "lacks relevant_windows"),
        ('{"qid": 1, "query": "x", "vid": "a", "relevant_windows": []}\n', "lacks duration"),
        ('{"query": "x", "vid": "a", "duration": 3, "relevant_windows": [[2, 1]]}\n', "a window from 2.0 to 1.0"),
        ('{"query": "x", "vid": "a", "duration": 3, "relevant_windows": [[NaN, 1]]}\n', "a window from nan"),
        ('{"query": "x", "vid": "a", "duration": 0, "relevant_windows": []}\n', "duration is 0.0"),
        ('{"query": " ", "vid": "a", "duration": 3, "relevant_windows": []}\n', "query is ' '"),
        (json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0]) + "\n", "qid 1 occurs twice"),
    ],
)
def test_annotations_of_no_known_form(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_annotations(tmp_path / "x")
    assert "\n" not in str(error.value)


# --- predictions


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({9: [[0, 1, 1]]}, "qid 9 is not among the 3 annotated queries"),
        ({1: [[0, 1]]}, "windows of 2 numbers; expected .start, end, score."),
        ({1: [[0, 1, 1], [0, 1]]}, "not every window is .start, end, score."),
        ({1: [["a", 1, 1]]}, "not every window"),
        ({1: 3}, "not every window"),
        ({1: [[0, float("nan"), 1]]}, "NaN or infinite"),
        ({1: [[0, 1, float("inf")]]}, "NaN or infinite"),
        ({1: [[5, 2, 1]]}, "ends at 2 before it starts at 5"),
        ({1: [[0, 1, 0.5], [0, 1, 0.6]]}, "not best first"),
        ({}, "no predictions in it"),
    ],
)
def test_faults_of_predictions_are_named(tmp_path: Path, answers: dict[int, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        run(tmp_path, answers)
    assert "\n" not in str(error.value)


def test_more_faults_of_predictions(tmp_path: Path) -> None:
    annotations = read_annotations(lines(tmp_path / "a.jsonl", ROWS))
    row = {"qid": 1, "vid": "a", "pred_relevant_windows": [[0, 1, 1]]}
    for rows, message in (
        ([row, row], "qid 1 occurs twice"),
        ([{**row, "vid": "z"}], "qid 1 is for video z, but annotated for a"),
        ([{"qid": 1}], "not a prediction .KeyError"),
    ):
        with pytest.raises(DataError, match=message):
            read_predictions(lines(tmp_path / "p.jsonl", rows), annotations)
    (tmp_path / "p.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="line 1: not a prediction"):
        read_predictions(tmp_path / "p.jsonl", annotations)


# --- figures and controls


def test_figures_by_hand(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert (report.queries, report.videos, report.unanswered) == (3, 2, 0)
    assert report.result["r1_iou50"] == pytest.approx(66.667) and report.result["r5_iou95"] == 100.0
    assert report.result["miou"] == pytest.approx(66.667)
    assert report.result["map"] == report.result["map_iou75"] == pytest.approx(100 * (1 + 0.5 + 1) / 3, abs=1e-3)
    assert "map" not in (report.controls["chance"] or {})  # one query has two true spans
    assert set(run(tmp_path, protocol="charades").result) == {
        "r1_iou30", "r1_iou50", "r1_iou70", "r5_iou30", "r5_iou50", "r5_iou70", "miou",
    }  # fmt: skip


def test_what_is_missing_counts_nothing_and_is_said(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    report = run(tmp_path, {1: ANSWERS[1], 2: []})
    assert report.unanswered == 2 and report.result["r1_iou50"] == pytest.approx(33.333)
    assert "2 of 3 queries have no answer; each counts 0" in logged.text


def test_queries_without_a_true_span_are_not_counted_and_it_is_said(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    rows = [*ROWS, {"qid": 4, "query": "a ghost", "vid": "b", "duration": 40, "relevant_windows": []}]
    annotations = lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="qid 4 is not among the 3"):
        evaluate(EvaluationRequest(predicted(tmp_path / "p.jsonl", {4: []}), annotations, "spans"))
    assert "1 of 4 queries have no true span and are not counted" in logged.text


def test_ends_are_clipped_on_request(tmp_path: Path) -> None:
    annotations = lines(tmp_path / "a.jsonl", [{"qid": 1, "query": "x", "vid": "a", "duration": 10, "relevant_windows": [[5, 15]]}])
    predictions = predicted(tmp_path / "p.jsonl", {1: [[5, 10, 1]]})
    for clip_ends, miou in ((False, 50.0), (True, 100.0)):
        assert evaluate(EvaluationRequest(predictions, annotations, "charades", clip_ends=clip_ends)).result["miou"] == miou


def test_shuffled_predictions_are_moved_to_the_other_duration(tmp_path: Path) -> None:
    report = run(tmp_path, protocol="charades")
    # Queries 1 and 2 get [20, 40] of 40 s as [10, 20] of 20 s; query 3 gets [0, 10] of 20 s as [0, 20] of 40 s, whatever is drawn.
    assert report.controls["shuffled"] is not None
    assert report.controls["shuffled"]["r1_iou50"] == pytest.approx(33.333)
    assert report.controls["shuffled"]["miou"] == pytest.approx(100 * (0 + 1 + 8 / 20) / 3, abs=1e-3)


def test_one_video_has_no_shuffled_control(tmp_path: Path) -> None:
    annotations = lines(tmp_path / "a.jsonl", ROWS[:2])
    report = evaluate(EvaluationRequest(predicted(tmp_path / "p.jsonl", {1: ANSWERS[1]}), annotations, "spans"))
    assert report.controls["shuffled"] is None and "all queries are of one video" in report.notes["shuffled"]


def test_the_prior_says_what_it_was_fitted_on(tmp_path: Path) -> None:
    assert "EVALUATED" in run(tmp_path).notes["prior"]
    training = lines(tmp_path / "train.jsonl", [{**ROWS[0], "qid": n, "relevant_windows": [[0, 4]]} for n in range(3)])
    report = run(tmp_path, prior_from=training, protocol="charades")
    assert report.notes["prior"].endswith("train.jsonl") and report.controls["prior"] is not None
    # The first window of the grid that reaches 0.5 with [0, 0.2] is [0, 0.1]: [0, 4] of 40 s has IoU 0.5 with [0, 8].
    assert report.controls["prior"]["r1_iou50"] == pytest.approx(33.333)
    assert report.controls["prior"]["miou"] == pytest.approx(100 * (0.2 + 0 + 0.5) / 3, abs=1e-3)


def test_fixed_windows_are_greedy() -> None:
    truths = [np.array([[0.0, 10.0]])] * 3 + [np.array([[50.0, 60.0]])] * 2 + [np.array([[90.0, 100.0]])]
    shares = fixed_windows(truths, [100.0] * 6, count=5)
    assert len(shares) == 3  # every span is hit by then
    for share, middle in zip(shares, (0.05, 0.55, 0.95), strict=True):
        assert share[0] < middle < share[1] and share[1] - share[0] <= 0.2


def test_other_videos_are_other_videos() -> None:
    annotations = [Annotation(str(n), "q", f"v{n % 3}", 1.0, (), {}) for n in range(30)]
    others = of_other_videos(annotations, seed=0)
    assert others is not None and others == of_other_videos(annotations, seed=0) != of_other_videos(annotations, seed=1)
    assert all(annotations[other].vid != own.vid for own, other in zip(annotations, others, strict=True))


def test_chance_follows_the_plan(tmp_path: Path) -> None:
    from wsra.runtime.evaluation.metrics import chance

    truths = [np.array(row["relevant_windows"], float) for row in ROWS]  # type: ignore[arg-type]
    expected = chance([relative_windows(float(row["duration"])) for row in ROWS], truths)  # type: ignore[arg-type]
    by_chance = run(tmp_path, protocol="charades").controls["chance"]
    assert by_chance is not None and by_chance["r5_iou50"] == expected.r5_iou50 and by_chance["miou"] == expected.miou
    seconds = run(tmp_path, plan="seconds", protocol="charades")
    maximal = run(tmp_path, plan="maximal", protocol="charades")
    assert seconds.controls["chance"] == maximal.controls["chance"] != by_chance
    assert "nothing to draw from" in maximal.notes["chance"] and "snippets of 1 s" in seconds.notes["chance"]


def test_intervals_are_those_of_a_plain_bootstrap_over_videos() -> None:
    rng = np.random.default_rng(0)
    videos = [f"v{n}" for n in rng.integers(0, 40, 300)]
    values = (rng.random(300) < np.array([int(v[1:]) / 40 for v in videos])).astype(float)
    low, high = intervals({"x": values}, videos, seed=0)["x"]
    groups = [values[[v == name for v in videos]] for name in sorted(set(videos))]
    draws = [100 * np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean() for _ in range(2000)]
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=1.5)
    alone = intervals({"x": values}, [str(n) for n in range(300)], seed=0)["x"]
    assert high - low > 1.5 * (alone[1] - alone[0])  # videos differ, so queries as if independent would promise too much


# --- DiDeMo


def didemo_files(folder: Path, *, votes: tuple[int, ...] = (4, 5, 7)) -> tuple[Path, dict[int, list[list[float]]]]:
    rows, answers = [], {}
    for number, count in enumerate(votes):
        times = [[1, 1]] * (count - 1) + [[2, 4]]
        rows.append(
            {"annotation_id": number, "video": f"v{number}", "description": "a dog", "num_segments": 5 + number % 2, "times": times}
        )
        windows = segment_windows()
        order = [1, *(i for i in range(21) if i != 1)]
        answers[number] = [[*windows[i], -float(place)] for place, i in enumerate(order)]
    (folder / "d.json").write_text(json.dumps(rows))
    return folder / "d.json", answers


def write_rankings(path: Path, answers: dict[int, list[list[float]]]) -> Path:
    return lines(path, [{"qid": q, "vid": f"v{q}", "pred_relevant_windows": w} for q, w in answers.items()])


def test_didemo_counts_three_annotators_of_four_five_and_seven(tmp_path: Path) -> None:
    annotations, answers = didemo_files(tmp_path)
    report = evaluate(EvaluationRequest(write_rankings(tmp_path / "p.jsonl", answers), annotations, "didemo"))
    assert report.result == {"r1": 100.0, "r5": 100.0, "miou": 100.0} and report.plan == "segments"
    answers.pop(2)
    report = evaluate(EvaluationRequest(write_rankings(tmp_path / "p.jsonl", answers), annotations, "didemo"))
    assert report.unanswered == 1 and report.result["r5"] == pytest.approx(66.667)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda windows: windows[:20], "20 different moments in 20 windows; DiDeMo's metric ranks all 21"),
        (lambda windows: [*windows[:20], [*windows[0][:2], -99.0]], "20 different moments in 21 windows"),
        (lambda windows: [[1.0, 5.0, 9.0], *windows[1:]], "not of whole segments"),
        (lambda windows: [[0.0, 35.0, 9.0], *windows[1:]], "not of whole segments"),
    ],
)
def test_faults_of_rankings(tmp_path: Path, change: Any, message: str) -> None:
    annotations, answers = didemo_files(tmp_path)
    answers[1] = change(answers[1])
    with pytest.raises(DataError, match=message):
        evaluate(EvaluationRequest(write_rankings(tmp_path / "p.jsonl", answers), annotations, "didemo"))


def test_didemo_needs_annotators(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="qid 1: windows .* expects at least 3 annotators"):
        run(tmp_path, protocol="didemo")
    with pytest.raises(ConfigError, match="leave --plan out"):
        run(tmp_path, protocol="didemo", plan="relative")


# --- a bundle


@pytest.fixture(scope="module")
def videos(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of three videos of 28 s, and of one of 25 s."""
    folder = tmp_path_factory.mktemp("videos")
    manifest = Grounder.open(bundle_folder, precision="fp32", provider="cpu", threads=1).manifest
    rng = np.random.default_rng(0)
    for name, count in (("v0", 25), ("v1", 28), ("v2", 28), ("a", 20), ("b", 40)):
        starts = np.arange(count, dtype=np.float64)
        values = rng.normal(size=(count, manifest.feature_width)).astype(np.float32)
        times = np.stack([starts, starts + 1], axis=1)
        write_features(folder / f"{name}.feat", Features(values, times, name, float(count), manifest.backbone))
    return folder


COMMON = ["--precision", "fp32", "--provider", "cpu", "--threads", "1"]


def test_a_bundle_from_end_to_end(bundle_folder: Path, videos: Path, tmp_path: Path) -> None:
    annotations, out = lines(tmp_path / "a.jsonl", ROWS), tmp_path / "p.jsonl"
    arguments = ["evaluate", str(bundle_folder), str(annotations), "--protocol", "spans", "--features", str(videos), *COMMON]
    done = CliRunner().invoke(app, [*arguments, "--predictions-out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert {"protocol", "queries", "result", "controls", "interval95"} <= set(report)
    assert set(report["controls"]) == {"chance", "prior", "shuffled"} and set(report["interval95"]) == set(report["result"])
    # The answers are those of `ground`, and evaluating them gives the same result.
    grounder = Grounder.open(bundle_folder, precision="fp32", provider="cpu", threads=1)
    from wsra.runtime.formats.features import read_features

    for row, line in zip(ROWS, out.read_text().splitlines(), strict=True):
        moments = grounder.ground(read_features(videos / f"{row['vid']}.feat"), str(row["query"]), top_k=10, false_alarms=np.inf)
        written = json.loads(line)
        assert written["qid"] == row["qid"]
        assert written["pred_relevant_windows"] == [[m.start_s, m.end_s, m.score] for m in moments]
    again = CliRunner().invoke(app, ["evaluate", str(out), str(annotations), "--protocol", "spans", "--json"])
    assert json.loads(again.stdout)["result"] == report["result"]
    assert json.loads(again.stdout)["interval95"] == report["interval95"]
    refused = CliRunner().invoke(app, [*arguments, "--predictions-out", str(out)])
    assert "exists already" in str(refused.exception)


@pytest.mark.parametrize("plan", ["relative", "seconds", "segments"])
def test_a_bundle_with_any_plan(bundle_folder: Path, videos: Path, tmp_path: Path, plan: Any) -> None:
    request = EvaluationRequest(
        bundle_folder, lines(tmp_path / "a.jsonl", ROWS), "charades", features=videos, plan=plan, settings=RunSettings(threads=1)
    )
    report = evaluate(request)
    assert report.plan == plan and report.controls["shuffled"] is not None
    assert f"plan {plan}" in report.notes["chance"]


def test_a_bundle_ranks_the_moments_of_didemo(bundle_folder: Path, videos: Path, tmp_path: Path) -> None:
    annotations, _ = didemo_files(tmp_path)
    report = evaluate(EvaluationRequest(bundle_folder, annotations, "didemo", features=videos, settings=RunSettings(threads=1)))
    assert set(report.result) == {"r1", "r5", "miou"}
    grounder = Grounder.open(bundle_folder, threads=1)
    from wsra.runtime.formats.features import read_features

    for answer, annotation in zip(report.answers, report.annotations, strict=True):
        assert answer.shape == (21, 3) and (np.diff(answer[:, 2]) <= 0).all()
        assert len({tuple(row[:2]) for row in answer}) == 21
        features = read_features(videos / f"{annotation.vid}.feat")
        within = [row for row in answer if row[1] - 5 < features.duration_s]
        assert np.array_equal(answer[: len(within)], within) and len(within) == (15 if annotation.vid == "v0" else 21)
        # The first of them is the best by the span score from the definition: the sum over snippets of (logit - theta).
        curve = grounder.answer(features, annotation.query).curve
        sums = {tuple(w): curve[int(w[0]) : int(w[1])].sum() for w in segment_windows() if w[1] - 5 < features.duration_s}
        assert sums[tuple(answer[0, :2])] == pytest.approx(max(sums.values()), abs=1e-4)


def test_what_is_no_bundle_is_refused(bundle_folder: Path, videos: Path, tmp_path: Path) -> None:
    annotations = lines(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(ConfigError, match="give their folder with --features"):
        evaluate(EvaluationRequest(bundle_folder, annotations, "spans"))
    with pytest.raises(DataError, match=re.escape("no such file or folder")):
        evaluate(EvaluationRequest(tmp_path / "none", annotations, "spans"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"2 of 2 videos have no features there .the first: a\.feat."):
        evaluate(EvaluationRequest(bundle_folder, annotations, "spans", features=tmp_path / "empty"))
    with pytest.raises(WsraError, match="no bundle there"):
        evaluate(EvaluationRequest(tmp_path / "empty", annotations, "spans", features=videos))
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="a checkpoint; .* export it first with wsra export"):
        evaluate(EvaluationRequest(tmp_path / "empty", annotations, "spans", features=videos))


def test_the_table_stands_on_stdout_with_all_digits_in_80_columns(tmp_path: Path) -> None:
    annotations = lines(tmp_path / "a.jsonl", ROWS)
    predictions = predicted(tmp_path / "p.jsonl", {qid: [[row[0], row[1], 1.0]] for qid, (row, *_) in ANSWERS.items()})
    for protocol, heading in (("spans", "mAP .75"), ("charades", "R@5 .7")):
        arguments = ["evaluate", str(predictions), str(annotations), "--protocol", protocol]
        report = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})
        assert done.exit_code == 0, done.output
        assert "…" not in done.stdout and max(map(len, done.stdout.splitlines())) <= 80
        for words in (heading, "result", "95 % interval", "chance", "prior", "shuffled", "EVALUATED data", "strongest control"):
            assert words in done.stdout, words
        row = next(line for line in done.stdout.splitlines() if line.startswith("mIoU")).split()
        low, high = report["interval95"]["miou"]
        assert row[1:5] == [f"{report['result']['miou']:.2f}", f"{low:.1f}", "to", f"{high:.1f}"]
        assert row[5:] == [f"{report['controls'][name]['miou']:.2f}" for name in ("chance", "prior", "shuffled")]


# --- files that are damaged, hostile or absurd


HOSTILE = {
    "nested 50,000 deep": "[" * 50_000,
    "an object nested 50,000 deep": '{"a":' * 50_000,
    "an integer of 5,000 digits": '{"qid": 1, "query": "x", "vid": "a", "duration": ' + "9" * 5000 + ', "relevant_windows": [[0, 1]]}',
    "an integer beyond a float": '{"qid": 1, "query": "x", "vid": "a", "duration": 1' + "0" * 400 + ', "relevant_windows": [[0, 1]]}',
    "a duration of 3e10": '{"qid": 1, "query": "x", "vid": "a", "duration": 3e10, "relevant_windows": [[0, 1]]}',
    "a duration of 1e-300": '{"qid": 1, "query": "x", "vid": "a", "duration": 1e-300, "relevant_windows": [[0, 0]]}',
    "a window to 1e300": '{"qid": 1, "query": "x", "vid": "a", "duration": 3, "relevant_windows": [[0, 1e300]]}',
    "fifty thousand windows": '{"qid": 1, "query": "x", "vid": "a", "duration": 3, "relevant_windows": [' + "[0,1]," * 50_000 + "[0,1]]}",
    "windows that are a number": '{"qid": 1, "query": "x", "vid": "a", "duration": 3, "relevant_windows": 7}',
    "a name that is an object": '{"qid": 1, "query": "x", "vid": {"a": 1}, "duration": 3, "relevant_windows": [[0, 1]]}',
    "a number that is null": '{"qid": null, "query": "x", "vid": "a", "duration": 3, "relevant_windows": [[0, 1]]}',
    "half a surrogate pair": '{"qid": 1, "query": "\\ud800", "vid": "a", "duration": 3, "relevant_windows": [[0, 1]]}',
    "didemo of objects": '[{"annotation_id": 1, "description": "x", "video": "a", "num_segments": {}, "times": [[0, 1]]}]',
    "didemo far away": '[{"annotation_id": 1, "description": "x", "video": "a", "num_segments": 1' + "0" * 307 + ', "times": [[0, 1]]}]',
    "uca of lists": '{"a": {"sentences": [["x"]], "timestamps": [[0, 1]], "duration": [3]}}',
    "charades far away": "a 0 1e300##walks",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("place", ["annotations", "prior_from", "durations", "predictions"])
def test_hostile_content_is_one_line(place: str, content: str, tmp_path: Path) -> None:
    """In each of the files that evaluate reads."""
    files = {
        "annotations": lines(tmp_path / "annotations.jsonl", ROWS),
        "prior_from": lines(tmp_path / "train.jsonl", ROWS),
        "durations": tmp_path / "durations.json",
        "predictions": predicted(tmp_path / "p.jsonl", ANSWERS),
    }
    files["durations"].write_text('{"a": 20}')
    files[place].write_text(content)
    request = EvaluationRequest(
        files["predictions"], files["annotations"], "spans", prior_from=files["prior_from"], durations=files["durations"]
    )
    with pytest.raises(DataError) as caught:
        evaluate(request)
    assert str(caught.value).startswith(str(files[place])) and "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir], ids=["pipe", "device", "folder"])
def test_a_text_file_that_never_ends_is_refused_at_once(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "x")
    for read in (read_annotations, read_captions, read_durations, lambda path: read_predictions(path, [])):
        with pytest.raises(DataError, match=r"x: cannot be read \((a pipe, device or socket, not a regular file|a folder)\)"):
            read(tmp_path / "x")


def test_durations_that_no_memory_holds_are_refused_before_any_is_taken(tmp_path: Path) -> None:
    rows = [{**row, "duration": 3e8} for row in ROWS]
    with pytest.raises(DataError, match=r"its videos last 6e\+08 s together; expected 5e\+06 s at most with the plan seconds"):
        evaluate(EvaluationRequest(predicted(tmp_path / "p.jsonl", ANSWERS), lines(tmp_path / "a.jsonl", rows), "spans"))
    figures = evaluate(EvaluationRequest(predicted(tmp_path / "p.jsonl", ANSWERS), lines(tmp_path / "a.jsonl", rows), "charades"))
    assert figures.result["r1_iou50"] > 0


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path, bundle_folder: Path) -> None:
    rows = [{**row, "vid": name} for row in ROWS]
    (tmp_path / "features").mkdir()
    with pytest.raises(WsraError) as caught:
        evaluate(EvaluationRequest(bundle_folder, lines(tmp_path / "a.jsonl", rows), "spans", features=tmp_path / "features"))
    assert len(str(caught.value)) < 3100
    with pytest.raises(DataError, match="no such file or folder; expected a bundle"):
        evaluate(EvaluationRequest(Path(name), tmp_path / "a.jsonl", "spans"))


def test_many_annotators_count_as_before_and_take_no_memory() -> None:
    """A moment that more than three chose is at one rank for all of them, and three of these count."""
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 3, 7, 9, 12, 20], 12)
    clipped = np.concatenate(
        [np.repeat(moment, min(count, 3)) for moment, count in zip(*np.unique(truth, return_counts=True), strict=True)]
    )
    ranks = np.argsort(rng.random((2000, 21)), axis=1)
    assert all((np.sort(order[truth])[:3] == np.sort(order[clipped])[:3]).all() for order in ranks)
    assert chance_scores([np.repeat(truth, 80)])["r1"] == chance_scores([np.repeat(truth, 3)])["r1"]


def test_a_damaged_feature_file_is_named(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Grounder.open(bundle_folder, precision="fp32") as grounder:
        width, backbone = grounder.manifest.feature_width, grounder.manifest.backbone
    times = np.stack([np.arange(20.0), np.arange(20.0) + 1], axis=1)
    for vid in "ab":
        write_features(tmp_path / f"{vid}.feat", Features(np.ones((20, width), np.float32), times, vid, 20.0, backbone))

    def fails(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Grounder, "answers", fails)
    with pytest.raises(FeatureError, match=r"a\.feat: cannot be used \(MemoryError\)"):
        evaluate(EvaluationRequest(bundle_folder, lines(tmp_path / "a.jsonl", ROWS), "spans", features=tmp_path))
