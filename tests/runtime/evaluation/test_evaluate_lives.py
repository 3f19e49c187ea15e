"""`wsra evaluate` on features of objects: the plan `tracks`, and chance over lives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from objects import lives_bundle, object_features

from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.errors import ConfigError, FeatureError
from wsra.runtime.evaluation.evaluate import Evaluation, EvaluationRequest, evaluate
from wsra.runtime.formats.bundle import read_manifest
from wsra.runtime.formats.features import write_features

pytestmark = pytest.mark.device

LIVES = {"a": [(0.0, 6.0), (8.0, 14.0), (8.5, 14.0)], "b": [(2.0, 9.0)], "c": []}
SPANS = {"a": (0.0, 6.0), "b": (2.0, 9.0), "c": (2.0, 9.0)}


@pytest.fixture
def made(bundle_folder: Path, tmp_path: Path) -> Path:
    """A folder with a bundle that finds a life in every video that has one, features and annotations."""
    bundle = lives_bundle(bundle_folder, tmp_path / "bundle", theta=-1e3)
    manifest = read_manifest(bundle)
    for vid, lives_s in LIVES.items():
        features = object_features(lives_s, width=manifest.feature_width, backbone=manifest.backbone, video=vid, duration_s=20.0)
        write_features(tmp_path / "features" / f"{vid}.feat", features)
    rows = [{"qid": vid, "query": "a red car", "vid": vid, "duration": 20.0, "relevant_windows": [span]} for vid, span in SPANS.items()]
    (tmp_path / "spans.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def measured(made: Path, **settings: object) -> Evaluation:
    request = EvaluationRequest(
        made / "bundle",
        made / "spans.jsonl",
        "spans",
        features=made / "features",
        settings=RunSettings("fp32", threads=1),
    )
    return evaluate(replace(request, **settings))


@pytest.mark.parametrize("protocol", ["spans", "charades"])
def test_lives_are_answers_and_what_chance_draws_from(made: Path, protocol: str) -> None:
    found = measured(made, protocol=protocol)
    assert found.plan == "tracks" and found.unanswered == 1  # nothing moves in `c`
    assert [[tuple(row[:2]) for row in answer] for answer in found.answers[1:]] == [LIVES["b"], []]
    assert len(found.answers[0]) == 2  # of the two that overlap one is left
    assert found.controls["chance"] is not None and "the lives of the video's objects" in found.notes["chance"]
    assert found.controls["chance"]["r1_iou50"] == pytest.approx(100 * (1 / 3 + 1 + 0) / 3, abs=0.01)
    assert found.controls["chance"]["r5_iou50"] == pytest.approx(100 * (1 + 1 + 0) / 3, abs=0.01)
    assert found.controls["chance"].get("map", 0.0) < 67 and found.result["r5_iou50"] == pytest.approx(66.667, abs=0.01)


def test_the_rules_of_didemo_are_refused(made: Path) -> None:
    rows = [{"annotation_id": n, "video": "a.avi", "description": "a dog", "num_segments": 5, "times": [[0, 0]] * 4} for n in range(2)]
    (made / "didemo.json").write_text(json.dumps(rows))
    with pytest.raises(ConfigError, match="scores lives of objects; the protocol didemo ranks 21 moments: choose spans or charades"):
        measured(made, protocol="didemo", annotations=made / "didemo.json")


@pytest.mark.parametrize("plan", ["maximal", "seconds", "relative"])
def test_other_plans_are_refused_before_anything_is_read(made: Path, plan: str) -> None:
    with pytest.raises(ConfigError, match=f"--plan {plan}: .* is for features of objects; expected tracks"):
        measured(made, plan=plan)


def test_snippets_are_not_asked_for_tracks(bundle_folder: Path, made: Path) -> None:
    with pytest.raises(ConfigError, match="--plan tracks: .* is for features of snippets"):
        measured(made, source=bundle_folder, plan="tracks")
    with pytest.raises(FeatureError, match="features of objects"):
        measured(made, source=bundle_folder)


def test_answers_of_a_file_have_no_lives(made: Path) -> None:
    (made / "p.jsonl").write_text(json.dumps({"qid": "a", "pred_relevant_windows": [[0, 6, 1.0]]}) + "\n")
    with pytest.raises(ConfigError, match=r"--plan tracks: .*p\.jsonl holds answers, and no lives of objects"):
        measured(made, source=made / "p.jsonl", plan="tracks")
    assert measured(made, source=made / "p.jsonl").plan == "seconds"
