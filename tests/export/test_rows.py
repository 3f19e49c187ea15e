"""A bundle over rows of objects: what it says of itself, its golden data, its gates, and INT8 where some videos have no row."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from objects import object_features
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

from schemas import check
from tiny import make_rows_run
from wsra.calib.samples import SNIPPETS, choose_samples
from wsra.export.reference import choose_golden
from wsra.export.theta_from_captions import best_life_scores
from wsra.runtime.backends.routes import Route
from wsra.runtime.cli import app
from wsra.runtime.device import this_device
from wsra.runtime.errors import BundleError, DataError
from wsra.runtime.formats.bundle import GOLDEN, open_bundle
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.verification.golden import Golden, read_golden, write_golden
from wsra.runtime.verification.reports import RouteReport
from wsra.runtime.verification.route_check import gate_route
from wsra.train.checkpoint import load_checkpoint
from wsra.train.data import load
from wsra.train.text import load_encoder

Tensors = dict[str, np.ndarray]
Change = Callable[[Tensors], object]


def tracks_of(features: Features) -> Tracks:
    assert features.tracks is not None
    return features.tracks


def test_the_manifest_says_lives(rows_bundle_folder: Path) -> None:
    manifest = open_bundle(rows_bundle_folder).manifest
    assert (manifest.plan, manifest.span_score, manifest.snippet_s) == ("tracks", "lives", 1.0)
    assert open_bundle(rows_bundle_folder).passed() == ["fp32", "fp16", "int8"]


def test_golden_videos_are_those_of_the_files_with_their_tracks(rows_bundle_folder: Path) -> None:
    golden = read_golden(rows_bundle_folder / GOLDEN)
    lengths = [len(video) for video in golden.videos + golden.calibration_videos]
    assert len(lengths) == 30 and min(lengths) == 0  # nothing moves in one of them
    for video in golden.videos + golden.calibration_videos:
        kept = read_features(rows_bundle_folder.parent / "features" / f"{video.video}.feat")
        np.testing.assert_array_equal(video.values, kept.values)
        np.testing.assert_array_equal(video.times_s, kept.times_s)
        assert (video.duration_s, video.backbone) == (kept.duration_s, kept.backbone)
        for name, array in tracks_of(kept).arrays().items():
            np.testing.assert_array_equal(tracks_of(video).arrays()[name], array, name)


def test_golden_moments_are_lives(rows_bundle_folder: Path) -> None:
    golden = read_golden(rows_bundle_folder / GOLDEN)
    found = ~np.isnan(golden.moments[:, 0])
    assert found.sum() >= 20 and not found.all()  # a video in which nothing moves has no candidate
    for (_, video), moment in zip(golden.pairs[found], golden.moments[found], strict=True):
        assert (tracks_of(golden.videos[video]).lives_s == moment).all(axis=1).any()


def test_golden_data_come_back_as_they_were_written(rows_bundle_folder: Path, tmp_path: Path) -> None:
    golden = read_golden(rows_bundle_folder / GOLDEN)
    write_golden(tmp_path / GOLDEN, golden)
    with safe_open(rows_bundle_folder / GOLDEN, "numpy") as one, safe_open(tmp_path / GOLDEN, "numpy") as other:
        assert one.metadata() == other.metadata() and set(one.keys()) == set(other.keys())
        check("golden", one.metadata())
        for name in one.keys():  # noqa: SIM118
            np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name), name)


def shift(name: str, by: float) -> Change:
    return lambda tensors: tensors.update({name: tensors[name] + np.asarray(by, tensors[name].dtype)})


def drop(name: str) -> Change:
    return lambda tensors: tensors.pop(name)


DAMAGED: dict[str, Change] = {
    "no lives": drop("check/lives_s"),
    "no counts": drop("calib/track_counts"),
    "no times": drop("check/times_s"),
    "fewer rows than times": lambda tensors: tensors.update({"check/times_s": tensors["check/times_s"][:-1]}),
    "fewer lives than counted": lambda tensors: tensors.update({"check/lives_s": tensors["check/lives_s"][:-1]}),
    "a count too many": lambda tensors: tensors.update({"check/view_counts": np.append(tensors["check/view_counts"], 0)}),
    "counts below 0": lambda tensors: tensors["check/track_counts"].__setitem__(slice(0, 2), [-1, 10**6]),
    "counts of floats": lambda tensors: tensors.update({"check/track_counts": tensors["check/track_counts"] + 0.5}),
    "fewer durations": lambda tensors: tensors.update({"check/durations_s": tensors["check/durations_s"][:-1]}),
    "durations of NaN": shift("check/durations_s", np.nan),
    "rows of no track": shift("check/tracks", 1),
    "boxes beyond the picture": shift("check/boxes", 2.0),
    "lives of another type": lambda tensors: tensors.update({"check/lives_s": tensors["check/lives_s"].astype(np.float32)}),
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_golden_data_of_objects_that_do_not_fit(change: Change, rows_bundle_folder: Path, tmp_path: Path) -> None:
    with safe_open(rows_bundle_folder / GOLDEN, "numpy") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, tmp_path / GOLDEN, metadata)
    with pytest.raises(BundleError, match=r"golden\.safetensors.*copy or export the bundle again") as caught:
        read_golden(tmp_path / GOLDEN)
    assert "\n" not in str(caught.value)


def gate(folder: Path, golden: Golden, precision: str = "fp32") -> RouteReport:
    return gate_route(open_bundle(folder), this_device(), Route(precision, "cpu"), golden, threads=1)


def test_the_gate_is_judged_by_lives(rows_bundle_folder: Path) -> None:
    golden = read_golden(rows_bundle_folder / GOLDEN)
    report = gate(rows_bundle_folder, golden)
    assert report.passed and report.grounding is not None and report.grounding.agreement == 100.0
    turned = [replace(video, values=np.ascontiguousarray(video.values[::-1])) for video in golden.videos]  # rows of other tracks
    report = gate(rows_bundle_folder, replace(golden, videos=turned))
    assert not report.passed and "first answers agree with PyTorch's in" in (report.reason or "")


def test_verify_and_labels_of_lives(rows_bundle_folder: Path, tmp_path: Path) -> None:
    made = rows_bundle_folder.parent
    bundle = shutil.copytree(rows_bundle_folder, tmp_path / "bundle")
    labels = ["--data", str(made / "spans-val.jsonl"), "--features", str(made / "features")]
    run = CliRunner().invoke(app, ["verify", str(bundle), *labels, "--json"])
    assert run.exit_code == 0, run.output
    entries = json.loads(run.stdout)["precisions"]
    assert entries["fp32"]["grounding"]["labelled"]["queries"] == 60 and entries["fp32"]["grounding"]["labelled"]["miou"] > 50


def test_theta_lies_between_own_and_other_sentences(rows_bundle_folder: Path) -> None:
    made = rows_bundle_folder.parent
    checkpoint = load_checkpoint(made / "runs" / "tiny")
    data = load(made / "val.jsonl", made / "features", seen_as="snippets")
    text = load_encoder(str(made / "bert"), "mean").encode([caption.query for caption in data.captions])
    own, others = best_life_scores(checkpoint.scorer, data, text)
    assert len(own) == 58 and len(others) == 4 * 58  # of one video there is no life
    theta = open_bundle(rows_bundle_folder).manifest.theta
    assert np.median(others) < theta < np.median(own)
    with Grounder.open(rows_bundle_folder, precision="fp32", threads=1) as grounder:
        feat = read_features(made / "features" / f"{data.captions[2].vid}.feat")
        (best,) = grounder.ground(feat, data.captions[2].query, top_k=1, false_alarms=math.inf)  # whatever its confidence
        assert best.score == pytest.approx(own[0] - theta, abs=0.05)  # keys are kept in float16


def test_videos_without_a_row_leave_the_others_their_share() -> None:
    videos = [object_features([], width=4)] * 30 + [object_features([(0.0, 3000.0)], width=4, duration_s=3000.0, seed=n) for n in range(2)]
    ids = [[1] * length for length in (3, 4, 5, 6, 7)]
    assert len(choose_samples(videos, ids, source="s").features) == SNIPPETS
    with pytest.raises(DataError, match="0 snippets to calibrate on"):
        choose_samples(videos[:30], ids, source="s")


def test_golden_data_of_videos_in_which_nothing_moves_are_refused(tmp_path: Path) -> None:
    make_rows_run(tmp_path, width=4)
    data = load(tmp_path / "val.jsonl", tmp_path / "features", seen_as="snippets")
    for number in range(30):
        name = f"val{number}"
        write_features(tmp_path / "features" / f"{name}.feat", object_features([], width=4, video=name, backbone=data.backbone))
    with pytest.raises(DataError, match="nothing moves in any of 22 validation videos"):
        choose_golden(data)
