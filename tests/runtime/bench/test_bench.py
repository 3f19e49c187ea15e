"""What `wsra bench` measures: that it is the real thing, adds up, and touches nothing. No test judges a time."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wsra.runtime.backbones.registry import MotionBackbone
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.bench import asking, timing
from wsra.runtime.bench.asking import STAGES
from wsra.runtime.bench.memory import Memory, anonymous_mb
from wsra.runtime.bench.report import bench_json, bench_view
from wsra.runtime.bench.stages import BenchRequest, measure
from wsra.runtime.bench.timed_video import TimedVideo
from wsra.runtime.bench.timing import LapTimer, Times, in_turns, one_stage, ratio
from wsra.runtime.errors import FeatureError, OutputError, QueryError, VideoError
from wsra.runtime.extraction.batch import extract_features
from wsra.runtime.formats.bundle import open_bundle
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.kernels.numba_kernel import fused_failure
from wsra.runtime.terminal.display import stdout_console

pytestmark = pytest.mark.device
Make = Callable[..., Features]
OF_FEATURES = ["keys", "text", "open", "scoring", "selection", "answer"]
OF_A_VIDEO = ["decode", "features", "extract"]


@pytest.fixture
def feat(tmp_path: Path, bundle_folder: Path, make_features: Make) -> Path:
    manifest = open_bundle(bundle_folder).manifest
    write_features(tmp_path / "v.feat", make_features(90, manifest.feature_width, backbone=manifest.backbone))
    return tmp_path / "v.feat"


def test_quantiles_of_times() -> None:
    times = Times(tuple(float(number) for number in range(101)))
    assert (times.p50_ms, times.p99_ms, times.rounds) == (50.0, 99.0, 101)
    assert ratio([Times((1.0, 2.0, 9.0)), Times((1.0, 2.0, 9.0))], Times((1.0, 2.0, 3.0))) == 2.0  # 2, 2 and 6


def test_laps_of_a_name_add_up_also_of_what_fails() -> None:
    watch = LapTimer()
    with watch.lap("a"):
        with watch.lap("b"):
            pass
        with pytest.raises(ValueError), watch.lap("b"):
            raise ValueError
    assert watch.seconds["a"] > 0 < watch.seconds["b"] and set(watch.seconds) == {"a", "b"}


def test_of_laps_within_others_only_the_innermost_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(now_s))
    watch = LapTimer()
    with watch.lap("a"), watch.lap("b"), watch.lap("c"):  # a from 0 to 31, b from 1 to 15, c from 3 to 7
        pass
    assert watch.seconds == {"a": 1.0 + 16.0, "b": 2.0 + 8.0, "c": 4.0}


def test_runs_take_turns() -> None:
    calls: list[str] = []
    times = in_turns([one_stage("a", lambda: calls.append("a")), one_stage("b", lambda: calls.append("b"))], rounds=3)
    assert calls == ["a", "b"] * 3 and {name: found.rounds for name, found in times.items()} == {"a": 3, "b": 3}
    assert in_turns([one_stage("a", lambda: None)])["a"].rounds == 5
    assert in_turns([one_stage("a", lambda: None)], at_least_s=60.0)["a"].rounds == 100


def test_memory_is_what_the_kernel_counts(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text("Rss:  9 kB\nPss_Anon:  7 kB\nAnonymous:     1000 kB\nLazyFree: 0 kB\n")
    assert anonymous_mb(rollup) == 1.024
    assert anonymous_mb(tmp_path / "none") is None


@pytest.mark.skipif(anonymous_mb() is None, reason="this system does not tell its anonymous memory")
def test_memory_that_was_given_back_is_in_the_peak() -> None:
    memory = Memory()
    with memory.watching():
        # Of the system itself: an allocator may have kept as much of earlier tests.
        held = mmap.mmap(-1, 64_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for start in range(0, len(held), mmap.PAGESIZE):
            held[start] = 1
        memory.look()
        held.close()
    assert memory.now_mb is not None and memory.peak_mb is not None
    assert memory.peak_mb > memory.now_mb + 50


def test_all_keys_are_read_where_only_some_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_BYTES", 4 * 8 * 10)
    keys = np.arange(40 * 8, dtype=np.float16).reshape(40, 8)
    read = asking.KeyReader(keys)
    assert read.rows == 10 and read.product()[asking.PRODUCT] > 0
    copied = []
    monkeypatch.setattr(np, "copyto", lambda room, block: copied.append((len(room), block.tobytes())))
    read.copied()
    assert b"".join(block for _, block in copied) == keys.tobytes() and all(size == len(block) for size, block in copied)


def test_blas_threads_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert asking.blas_threads() == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert asking.blas_threads() == 2
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    assert asking.blas_threads() == 4


def test_a_film_gives_the_features_of_extract(clip_file: Path) -> None:
    whole = extract_features(clip_file)
    film = TimedVideo(clip_file, MotionBackbone(), snippet_s=1.0, first_s=1e6)
    spent = film.apart()
    assert set(spent) == {"decode", "features"} and min(spent.values()) > 0
    np.testing.assert_array_equal(film.features().values, whole.values)
    np.testing.assert_array_equal(film.features().times_s, whole.times_s)
    found, wanted = film.features().tracks, whole.tracks
    assert found is not None and wanted is not None
    np.testing.assert_array_equal(found.lives_s, wanted.lives_s)
    assert film.seconds == whole.duration_s and film.frames > len(whole)
    assert set(film.together()) == {"extract"}


def test_of_a_film_only_the_first_seconds_are_decoded(clip_file: Path) -> None:
    film, whole = (TimedVideo(clip_file, MotionBackbone(), snippet_s=1.0, first_s=first_s) for first_s in (3.0, 1e6))
    film.apart(), whole.apart()
    assert film.seconds == 3.0 and film.features().duration_s == 3.0 and film.frames < whole.frames


def test_every_stage_of_features_adds_up_and_nothing_is_touched(feat: Path, bundle_folder: Path) -> None:
    kept = feat.with_suffix(".keys")
    kept.write_text("the user's")
    before = {path.name: path.read_bytes() for path in feat.parent.iterdir()}
    found = measure(bundle_folder, BenchRequest(feat, settings=RunSettings(threads=1), repeats=4))
    assert {path.name: path.read_bytes() for path in feat.parent.iterdir()} == before
    report = bench_json(found)
    assert list(report["stages"]) == OF_FEATURES and set(found.cold_ms) == set(OF_FEATURES)
    for stage in report["stages"].values():
        assert 0 < stage["p50_ms"] <= stage["p99_ms"] and stage["cold_ms"] > 0 and stage["rounds"] == 4
    sums = np.sum([found.times[name].each_ms for name in STAGES], axis=0)
    np.testing.assert_allclose(sums, found.times["answer"].each_ms)
    assert all(number > 0 for number in report["reading"].values()) and report["reading"]["product_rows"] == report["snippets"] == 90
    assert report["threads"]["onnxruntime"] == report["threads"]["kernel"] == 1
    assert report["video_s"] is None and not report["repeated"] and report["queries"] == 1


def test_several_sentences_a_plan_and_a_day(feat: Path, bundle_folder: Path) -> None:
    request = BenchRequest(
        feat, queries=["a red car", "a dog", "a man"], plan="seconds", settings=RunSettings("fp16", threads=1), repeats=1, hours=0.5
    )
    report = bench_json(measure(bundle_folder, request))
    assert (report["queries"], report["plan"], report["precision"]) == (3, "seconds", "fp16")
    assert (report["snippets"], report["duration_s"], report["repeated"]) == (1800, 1800.0, True)
    assert report["kernel"] == "numpy"  # as ground takes it for so few


@pytest.mark.skipif(fused_failure() is not None, reason="numba cannot run here")
def test_a_kernel_that_is_asked_for(feat: Path, bundle_folder: Path) -> None:
    assert (
        bench_json(measure(bundle_folder, BenchRequest(feat, settings=RunSettings(kernel="numba", threads=1), repeats=1)))["kernel"]
        == "numba"
    )


def test_a_video_has_its_own_stages(clip_file: Path, rows_bundle_folder: Path) -> None:
    before = sorted(clip_file.parent.iterdir())
    whole = extract_features(clip_file)
    first_s = float(np.ceil(whole.times_s[3, 1])) + 2.0  # somebody has come by then
    found = measure(rows_bundle_folder, BenchRequest(clip_file, settings=RunSettings(threads=1), repeats=1, first_s=first_s))
    report = bench_json(found)
    assert sorted(clip_file.parent.iterdir()) == before
    assert list(report["stages"]) == OF_A_VIDEO + OF_FEATURES
    for name in OF_A_VIDEO:
        stage = report["stages"][name]
        assert stage["times_real_time"] == pytest.approx(1000 * first_s / stage["p50_ms"])
        assert stage["frames_per_s"] > stage["times_real_time"] > 0
    assert report["decoder"] == "cpu"
    assert report["video_s"] == first_s and report["snippets"] >= 3 and report["tracks"] >= 1
    console = stdout_console()
    with console.capture() as capture:
        console.print(bench_view(found))
    shown = capture.get()
    assert "times real time" in shown and "these keys fit the cache" in shown


def test_a_decoder_that_cannot_be_had_is_said(clip_file: Path, rows_bundle_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = RunSettings(threads=1, decoder="nonsense")
    report = bench_json(measure(rows_bundle_folder, BenchRequest(clip_file, settings=settings, repeats=1)))
    assert report["decoder"].startswith("decoded on the CPU: nonsense ")
    assert f"{clip_file}: {report['decoder']}" in caplog.messages


def test_what_cannot_be_measured_is_refused(
    feat: Path, bundle_folder: Path, sound_file: Path, make_features: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.feat"
    write_features(foreign, make_features(3, 2, backbone="i3d"))
    with pytest.raises(FeatureError, match="features of i3d"):
        measure(bundle_folder, BenchRequest(foreign))
    with pytest.raises(FeatureError, match="no such file, or a folder"):
        measure(bundle_folder, BenchRequest(tmp_path))
    with pytest.raises(VideoError, match="no video stream"):
        measure(bundle_folder, BenchRequest(sound_file))
    with pytest.raises(QueryError, match="query is empty"):
        measure(bundle_folder, BenchRequest(feat, queries=["a man", " "]))
    monkeypatch.setattr(
        "wsra.runtime.grounding.keys.KeyStore.keys", lambda self, features, chunks: np.zeros((len(features), 4), np.float16)
    )
    with pytest.raises(OutputError, match="cannot hold the keys of 90 rows"):
        measure(bundle_folder, BenchRequest(feat))


def test_the_command_prints_json_on_stdout_alone(feat: Path, bundle_folder: Path) -> None:
    (feat.parent / "queries.txt").write_text("a red car\n\na dog\n")
    command = [sys.executable, "-m", "wsra.runtime.cli", "bench", str(bundle_folder), feat.name, "--threads", "1", "--repeats", "2"]
    run = subprocess.run([*command, "--queries", "queries.txt", "--json"], capture_output=True, text=True, cwd=feat.parent, timeout=600)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["queries"] == 2 and report["bundle"] == str(bundle_folder) and report["versions"]["numpy"] == np.__version__
    shown = subprocess.run(command, capture_output=True, text=True, cwd=feat.parent, timeout=600)
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in (*OF_FEATURES, "p50 ms", "kernel", "threads: ONNX Runtime 1", "anonymous memory"))
    assert "decode" not in shown.stdout
