from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from presences import ALWAYS, NEVER

from wsra.runtime.archive.report import curve_drawing
from wsra.runtime.backends.routes import Route
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.device import this_device
from wsra.runtime.errors import BundleError, ConfigError, FeatureError, QueryError
from wsra.runtime.formats.bundle import MANIFEST, open_bundle
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.kernels.choose import START, AutoKernel, kernels_on_cpu, open_kernel
from wsra.runtime.spans.sums import pooled_means
from wsra.runtime.terminal.display import clock

pytestmark = pytest.mark.device
Make = Callable[..., Features]
HALF = 2.0**-10  # twice the spacing of float16 at 1
QUERY = "a man in a yellow shirt walks past"


@pytest.fixture(scope="module")
def grounder(bundle_folder: Path) -> Grounder:
    return Grounder.open(bundle_folder, threads=1)


@pytest.fixture
def video(grounder: Grounder, make_features: Make) -> Features:
    return make_features(300, grounder.manifest.feature_width, backbone=grounder.manifest.backbone)


def test_the_key_of_a_pooled_window_is_the_mean_of_its_keys(grounder: Grounder, video: Features) -> None:
    spans = np.array([[0.0, 4.0], [2.5, 9.75], [0.0, 300.0]])
    pooled = replace(video, values=pooled_means(video.values, spans).astype(np.float32), times_s=video.times_s[:3])
    of_the_mean = grounder.scorer.keys(pooled).astype(np.float64)
    np.testing.assert_allclose(of_the_mean, pooled_means(grounder.scorer.keys(video), spans), atol=HALF * np.abs(of_the_mean).max())


@pytest.mark.parametrize("plan", ["maximal", "seconds", "relative"])
def test_top_k_changes_no_span(grounder: Grounder, video: Features, plan: str) -> None:
    share = {"maximal": 0.8, "seconds": 0.5, "relative": 0.2}[plan]  # low enough that many spans speak for the sentence
    theta = float(np.quantile(grounder.answer(video, QUERY).curve, share)) + grounder.manifest.theta
    manifest = replace(grounder.manifest, theta=theta, presence=ALWAYS)
    lenient = Grounder(manifest, grounder.encoder, grounder.scorer, bundle=grounder.bundle, precision="fp32")
    many = lenient.ground(video, QUERY, plan=plan, top_k=20)  # type: ignore[arg-type]
    assert len(many) > 3
    for top_k in (1, 2, 3):
        assert lenient.ground(video, QUERY, plan=plan, top_k=top_k) == many[:top_k]  # type: ignore[arg-type]


def test_scores_are_sums_of_the_curve(grounder: Grounder, video: Features) -> None:
    answer = grounder.answer(video, QUERY, plan="maximal", false_alarms=inf)
    assert answer.moments
    for moment in answer.moments:
        assert moment.score == pytest.approx(answer.curve[int(moment.start_s) : int(moment.end_s)].sum(), rel=1e-6)
    assert [m.score for m in answer.moments] == sorted((m.score for m in answer.moments), reverse=True)


def test_what_speaks_for_nothing_finds_nothing(grounder: Grounder, video: Features, bundle_folder: Path) -> None:
    strict = Grounder(replace(grounder.manifest, theta=1e6), grounder.encoder, grounder.scorer, bundle=bundle_folder, precision="fp32")
    never = Grounder(replace(grounder.manifest, presence=NEVER), grounder.encoder, grounder.scorer, bundle=bundle_folder, precision="fp32")
    for plan in ("maximal", "seconds"):
        answer = strict.answer(video, QUERY, plan=plan, false_alarms=inf)  # type: ignore[arg-type]
        assert answer.moments == [] and answer.best is None and not answer.found
        answer = never.answer(video, QUERY, plan=plan)  # type: ignore[arg-type]
        assert answer.moments == [] and answer.best is not None and answer.best.confidence < 1e-9 and not answer.found


def test_presence_does_not_depend_on_top_k_and_falls_with_the_hours(grounder: Grounder, video: Features) -> None:
    one, many = (grounder.answer(video, QUERY, top_k=top_k, false_alarms=inf) for top_k in (1, 50))
    assert one.best == many.best and one.best is not None and one.moments == many.moments[:1]
    assert max(moment.presence for moment in many.moments) == one.best.presence
    ranked = sorted(many.moments, key=lambda moment: moment.presence)
    for name, sign in (("confidence", 1), ("false_alarms_per_hour", -1)):
        values = [sign * getattr(moment, name) for moment in ranked]
        assert values == sorted(values)
    month = grounder.answer(video, QUERY, hours=720.0).best
    assert month is not None and month.presence == one.best.presence and month.confidence < one.best.confidence
    for limit in (0.1, 1.0, 1000.0):
        found = grounder.answer(video, QUERY, top_k=50, false_alarms=limit).moments
        assert found == [moment for moment in many.moments if moment.false_alarms_per_hour < limit]
    with pytest.raises(ConfigError, match="false_alarms is 0; expected a number above 0"):
        grounder.ground(video, QUERY, false_alarms=0)


def test_fp16_finds_nearly_the_same(bundle_folder: Path, grounder: Grounder, video: Features) -> None:
    half = Grounder.open(bundle_folder, precision="fp16", threads=1).ground(video, QUERY, false_alarms=inf)
    full = grounder.ground(video, QUERY, false_alarms=inf)
    assert (half[0].start_s, half[0].end_s) == (full[0].start_s, full[0].end_s)


def test_a_sentence_does_not_depend_on_its_neighbours(grounder: Grounder) -> None:
    both = grounder.encoder.encode([QUERY, "a woman with a bag"])
    np.testing.assert_array_equal(both[0], grounder.encoder.encode([QUERY])[0])


def test_features_of_another_backbone_are_refused(grounder: Grounder, make_features: Make) -> None:
    with pytest.raises(FeatureError, match="features of i3d .* expects motion"):
        grounder.ground(make_features(5, grounder.manifest.feature_width, backbone="i3d"), QUERY)
    with pytest.raises(FeatureError, match="3 wide"):
        grounder.ground(make_features(5, 3, backbone=grounder.manifest.backbone), QUERY)


@pytest.mark.parametrize("query", ["", "  \t", "word " * 2000])
def test_queries_that_cannot_be_encoded(grounder: Grounder, video: Features, query: str) -> None:
    with pytest.raises(QueryError):
        grounder.ground(video, query)


def sealed_files(bundle: Path) -> list[str]:
    return [MANIFEST, *open_bundle(bundle).manifest.files]


def test_one_changed_byte_anywhere_is_noticed(bundle_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle_folder, copy)
    for name in sealed_files(copy):
        path = copy / name
        content = path.read_bytes()
        for place in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(BundleError, match=r"changed|damaged|version"):
                open_bundle(copy)
        path.write_bytes(content)
    open_bundle(copy)


def test_a_missing_file_and_a_missing_precision(bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no precision fp8; choose one of fp32, fp16, int8"):
        Grounder.open(bundle_folder, precision="fp8")
    shutil.copytree(bundle_folder, tmp_path / "b")
    (tmp_path / "b" / "fp32" / "keys.onnx").unlink()
    with pytest.raises(BundleError, match=r"fp32/keys.onnx is missing"):
        open_bundle(tmp_path / "b")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00:00.0"), (59.96, "0:01:00.0"), (3725.44, "1:02:05.4"), (86_400, "24:00:00.0")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_the_curve_shows_where(video: Features) -> None:
    curve = np.full(40, -1.0)
    curve[10:14] = 5.0
    times = np.stack([np.arange(40.0), np.arange(1.0, 41.0)], axis=1)
    lines = curve_drawing(curve, times, 40.0, width=80, marked=[(10.0, 14.0)]).plain.splitlines()
    assert lines[0] == " " * 10 + "████" + " " * 26
    assert lines[4] == " " * 10 + "▔▔▔▔"
    assert lines[-1].startswith("0:00:00.0") and lines[-1].endswith("0:00:40.0")
    flat = curve_drawing(np.full(5, -1.0), times[:5], 5.0, width=80, marked=[]).plain
    assert "█" not in flat
    apart = np.concatenate([times[:20], times[20:] + 20.0])  # a gap of 20 s in the middle
    lines = curve_drawing(curve, apart, 60.0, width=60, marked=[(10.0, 14.0)]).plain.splitlines()
    assert lines[0].index("█") == lines[4].index("▔") == 10


def test_no_span_reaches_over_a_gap(grounder: Grounder, video: Features, bundle_folder: Path) -> None:
    manifest = replace(grounder.manifest, theta=-1e6, presence=ALWAYS)
    lenient = Grounder(manifest, grounder.encoder, grounder.scorer, bundle=bundle_folder, precision="fp32")
    assert len(lenient.ground(video, QUERY, plan="maximal")) == 1
    times = video.times_s.copy()
    times[100:] += 3600.0
    apart = lenient.ground(replace(video, times_s=times, duration_s=4000.0), QUERY, plan="maximal")
    first, second = sorted(apart, key=lambda m: m.start_s)
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0.0, 100.0, 3700.0, 3900.0)


def test_numba_is_for_much_and_for_who_asks(bundle_folder: Path, grounder: Grounder, video: Features) -> None:
    bundle, device = open_bundle(bundle_folder), this_device()
    route = Route("fp32", "cpu")
    fastest = kernels_on_cpu()[-1]
    for numbers, name in ((0.0, "numpy"), (START - 1, "numpy"), (START, fastest), (inf, fastest)):
        kernel = open_kernel(bundle, route, device, on_cpu=True)
        assert isinstance(kernel, AutoKernel)
        kernel.expect(numbers)
        assert kernel.name == name and kernel.compiled == (name == "numba")
        scorer = SnippetScorer(grounder.scorer.keys_graph, kernel, reference=grounder.scorer.reference)
        other = Grounder(grounder.manifest, grounder.encoder, scorer, bundle=bundle_folder, precision="fp32")
        np.testing.assert_allclose(
            [moment.score for moment in other.ground(video, QUERY, false_alarms=inf)],
            [moment.score for moment in grounder.ground(video, QUERY, false_alarms=inf)],
            rtol=1e-4,
        )
    assert open_kernel(bundle, route, device, RunSettings(kernel="graph"), on_cpu=True).name == "graph"
    assert Grounder.open(bundle_folder).scorer.kernel.name == fastest
