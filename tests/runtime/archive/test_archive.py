"""Folders of files: one ranked list, joined recordings, times, and what happens to a file that cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from presences import ALWAYS
from typer.testing import CliRunner

import wsra.runtime.archive.answering
import wsra.runtime.archive.search
import wsra.runtime.archive.session
import wsra.runtime.archive.videos
import wsra.runtime.extraction.provenance
import wsra.runtime.files.digests
import wsra.runtime.formats.features
from wsra.runtime.archive.answer_json import answer_json
from wsra.runtime.archive.answering import Answerer, Ranking, Result, recordings_for
from wsra.runtime.archive.between import read_between, stretches
from wsra.runtime.archive.cameras import Footage, Stretches, footage_of, joined_features, whole
from wsra.runtime.archive.catalogue import read_summary
from wsra.runtime.archive.detections import Detection, curve_of
from wsra.runtime.archive.inputs import find_sidecar, tag_of
from wsra.runtime.archive.report import moments_table
from wsra.runtime.archive.request import Question, Request, read_queries
from wsra.runtime.archive.search import SearchResults, search
from wsra.runtime.backends.settings import KernelName, RunSettings
from wsra.runtime.cli import app
from wsra.runtime.commands.ground import paths_and_queries
from wsra.runtime.errors import ConfigError, DataError, FeatureError, QueryError, VideoError, WsraError
from wsra.runtime.extraction.provenance import provenance
from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.spans.moments import Moment
from wsra.runtime.terminal.display import stdout_console
from wsra.runtime.video.frames import file_state

pytestmark = pytest.mark.device

QUERY, OTHER = "a man in a yellow shirt walks past", "a red car"
BEGIN = datetime(2026, 11, 23, 13, 59, 0)
PART_S = 60
Make = Callable[..., Features]


@pytest.fixture(scope="module")
def grounder(bundle_folder: Path) -> Grounder:
    return Grounder.open(bundle_folder, threads=1, kernel="numpy")  # what ground takes for so few snippets


@pytest.fixture(scope="module")
def rows(grounder: Grounder) -> np.ndarray:
    """Random snippets, those first that speak most for the sentence."""
    values = np.random.default_rng(0).normal(size=(3000, grounder.manifest.feature_width)).astype(np.float32)
    starts = np.arange(3000.0)
    pool = Features(values, np.stack([starts, starts + 1], axis=1), "pool", 3000.0, grounder.manifest.backbone)
    return values[np.argsort(-grounder.answer(pool, QUERY).curve)]


@pytest.fixture
def long(grounder: Grounder, make_features: Make, rows: np.ndarray) -> Features:
    """Three minutes with events over both boundaries of its minutes, and much else that speaks for the sentence."""
    features = make_features(3 * PART_S, grounder.manifest.feature_width, backbone=grounder.manifest.backbone)
    features.values[55:66], features.values[118:121], features.values[::7] = rows[:11], rows[11:14], rows[14:40]
    return features


@pytest.fixture
def lenient(grounder: Grounder, long: Features) -> Grounder:
    theta = float(np.quantile(grounder.answer(long, QUERY).curve, 0.6)) + grounder.manifest.theta
    return Grounder(
        replace(grounder.manifest, theta=theta, presence=ALWAYS),
        grounder.encoder,
        grounder.scorer,
        bundle=grounder.bundle,
        precision="fp32",
    )


def put(path: Path, features: Features) -> Path:
    """Write features under a name, as if they were of a video of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_features(path, replace(features, video=f"{path.stem}.mp4"))
    return path


def in_parts(folder: Path, features: Features, camera: str = "door") -> list[Footage]:
    """Files of a minute each, named by their wall clock."""
    files = []
    for number in range(len(features) // PART_S):
        rows = slice(number * PART_S, (number + 1) * PART_S)
        part = replace(features, values=features.values[rows], times_s=features.times_s[rows] - number * PART_S, duration_s=float(PART_S))
        start = BEGIN + timedelta(seconds=number * PART_S)
        feat = put(folder / f"{camera}_{start:%Y%m%d_%H%M%S}.feat", part)
        files.append(footage_of(feat, read_summary(feat), root=folder))
    return files


def asked(
    grounder: Grounder, files: list[Footage], *, top_k: int = 50, per_video: int | None = None, plan: SpanPlan = "maximal"
) -> list[Detection]:
    question = Question((QUERY,), top_k, per_video, plan)
    answerer, ranking = Answerer(grounder, question), Ranking(question)
    for recording in recordings_for([whole(file) for file in files], plan):
        one = answerer.answer(recording)
        assert not one.refused
        ranking.add(one)
    return ranking.results()[0].detections


def found(
    folder: Path,
    bundle: Path,
    *,
    inputs: Sequence[str] | None = None,
    queries: Path | None = None,
    between: tuple[str, str] | None = None,
    kernel: KernelName = "auto",
    **question: object,
) -> SearchResults:
    paths, sentences = paths_and_queries(inputs or [str(folder), QUERY], queries)
    settings = RunSettings("fp32", "cpu", threads=1, kernel=kernel)
    forced = {"false_alarms": np.inf} | question  # every candidate is found
    return search(Request(paths, Question(sentences, **forced), bundle, settings, between))  # type: ignore[arg-type]


def places(found: SearchResults) -> list[Detection]:
    """The detections of the first query, without the files in which they lie."""
    return [replace(detection, excerpts=()) for detection in found.results[0].detections]


def span_and_score(moment: Moment) -> tuple[float, float, float]:
    return moment.start_s, moment.end_s, moment.score


@pytest.mark.parametrize("plan", ["maximal", "seconds"])
def test_an_event_that_crosses_the_hour_is_one_moment(plan: SpanPlan, lenient: Grounder, long: Features, tmp_path: Path) -> None:
    """The moments of three consecutive files are those of the whole, with the same scores."""
    wanted = lenient.ground(long, QUERY, top_k=50, plan=plan)
    files = in_parts(tmp_path, long)
    seen = asked(lenient, files, plan=plan)
    starts, feats = {file.video: number * PART_S for number, file in enumerate(files)}, {file.feat for file in files}
    assert [(one.moment.start_s + starts[one.moment.video], one.moment.end_s + starts[one.moment.video]) for one in seen] == [
        (moment.start_s, moment.end_s) for moment in wanted
    ]
    np.testing.assert_allclose([one.moment.score for one in seen], [moment.score for moment in wanted], rtol=1e-5)
    assert sum(one.until is not None for one in seen) >= 2
    for one in seen:
        assert one.camera == "door" and one.start == BEGIN + timedelta(seconds=one.moment.start_s + starts[one.moment.video])
        assert 0 <= one.moment.start_s < PART_S and (one.moment.end_s > PART_S) == (one.until is not None)
        assert sum(part.end_s - part.start_s for part in one.excerpts) == pytest.approx(one.moment.end_s - one.moment.start_s)
        assert [one.excerpts[0].video, one.excerpts[-1].video] == [one.moment.video, (one.until or one.moment).video]
        assert one.excerpts[0].start == one.start and all(part.feat in feats and part.end_s <= PART_S for part in one.excerpts)
        if one.until is not None:
            assert starts[one.until.video] + one.until.end_s == starts[one.moment.video] + one.moment.end_s


def test_a_moment_over_two_files_as_json(grounder: Grounder, long: Features, tmp_path: Path) -> None:
    always = Grounder(
        replace(grounder.manifest, theta=-1e3, presence=ALWAYS), grounder.encoder, grounder.scorer, bundle=grounder.bundle, precision="fp32"
    )
    seen = asked(always, in_parts(tmp_path, long))
    answer = answer_json(Result(QUERY, seen, [], seen[0]), SearchResults(always.ran, [], [], 0.05, "captions"))
    (only,) = answer["moments"]
    assert answer["found"] and answer["best_candidate"] is None and (answer["hours"], answer["calibration"]) == (0.05, "captions")
    nothing = answer_json(Result(QUERY, [], [], seen[0]), SearchResults(always.ran, [], [], 0.05, "captions"))
    assert (nothing["found"], nothing["moments"], nothing["best_candidate"]) == (False, [], only | {"likelihood": "not found"})
    assert only == {
        "video": "door_20261123_135900.mp4",
        "start_s": 0.0,
        "end_s": 180.0,
        "score": only["score"],
        "likelihood": "likely",
        "confidence": 1.0,
        "false_alarms_per_hour": only["false_alarms_per_hour"],
        "track": None,
        "box": None,
        "best_s": None,
        "camera": "door",
        "start_time": "2026-11-23T13:59:00",
        "until": {"video": "door_20261123_140100.mp4", "end_s": 60.0},
    }


def test_the_table_tells_camera_and_time_where_they_are_known(grounder: Grounder, long: Features, tmp_path: Path) -> None:
    always = Grounder(
        replace(grounder.manifest, theta=-1e3, presence=ALWAYS), grounder.encoder, grounder.scorer, bundle=grounder.bundle, precision="fp32"
    )
    files = in_parts(tmp_path, long)
    lines = table(asked(always, files))
    assert lines[0].split() == ["#", "start", "end", "score", "confidence", "false", "alarms", "camera", "at", "video"]
    assert lines[1].split()[1:3] == ["0:00:00.0", "0:01:00.0"]
    assert "likely, 100 %" in lines[1]
    assert lines[1].split()[8:] == ["door", "2026-11-23", "13:59:00", "door_20261123_135900.mp4", "to", "door_20261123_140100.mp4"]
    assert "camera" not in table(asked(always, [replace(files[0], camera=None, start=None)]))[0]


def table(detections: list[Detection]) -> list[str]:
    console = stdout_console()
    console.width = 200
    with console.capture() as captured:
        console.print(moments_table(detections, width=200))
    return captured.get().splitlines()


def test_what_is_not_consecutive_is_not_joined(lenient: Grounder, long: Features, tmp_path: Path) -> None:
    first, second, third = in_parts(tmp_path, long)

    def lengths(*files: Footage) -> list[int]:
        return sorted(len(recording) for recording in recordings_for([whole(file) for file in files], "maximal"))

    assert lengths(third, first, second) == [3]
    assert lengths(first, third) == [1, 1]  # a minute is missing
    assert second.start is not None
    assert lengths(first, replace(second, start=second.start + timedelta(seconds=4))) == [2]
    assert lengths(first, replace(second, start=second.start + timedelta(seconds=6))) == [1, 1]
    assert lengths(first, replace(second, start=second.start - timedelta(seconds=6))) == [1, 1]
    assert lengths(first, replace(second, camera="garage")) == [1, 1]
    assert lengths(first, replace(second, clock="metadata")) == [1, 1]
    assert lengths(replace(first, camera=None), second) == [1, 1]
    assert len(recordings_for([whole(first), whole(second)], "relative")) == 2


@pytest.mark.parametrize("per_video", [1, 2])
def test_a_limit_for_each_video_keeps_its_best(
    per_video: int, grounder: Grounder, long: Features, rows: np.ndarray, tmp_path: Path
) -> None:
    """Each minute has four moments of a second, between which nothing speaks for the sentence."""
    long.values[:] = rows[-len(long) :]
    long.values[5::15] = rows[: len(long) // 15]
    curve = grounder.answer(long, QUERY).curve
    theta = float(curve[5::15].min() + np.sort(curve)[-len(long) // 15 - 1]) / 2 + grounder.manifest.theta
    strict = Grounder(
        replace(grounder.manifest, theta=theta, presence=ALWAYS),
        grounder.encoder,
        grounder.scorer,
        bundle=grounder.bundle,
        precision="fp32",
    )
    files = in_parts(tmp_path, long)
    everything = asked(strict, files, top_k=10_000)
    wanted = []
    for one in everything:
        if sum(other.moment.video == one.moment.video for other in wanted) < per_video:
            wanted.append(one)
    assert (len(everything), len(wanted)) == (12, 3 * per_video)
    assert asked(strict, files, top_k=3 * per_video, per_video=per_video) == wanted
    assert asked(strict, files, top_k=2, per_video=per_video) == wanted[:2]


def test_rows_of_several_files_are_those_of_the_whole(long: Features, tmp_path: Path) -> None:
    recording: Stretches = tuple(whole(file) for file in in_parts(tmp_path, long))
    joined = joined_features(recording)
    np.testing.assert_array_equal(joined.times_s, long.times_s)
    np.testing.assert_array_equal(np.concatenate([part.features().rows(part.first, part.last) for part in joined.parts]), long.values)
    assert (len(joined), joined.duration_s, joined.starts_s) == (180, 180.0, (0.0, 60.0, 120.0))


def test_files_that_follow_each_other_keep_their_keys(bundle_folder: Path, long: Features, tmp_path: Path) -> None:
    """Keys of a recording are those of its files, of a part of a file those of the whole; nothing is computed twice."""
    files = in_parts(tmp_path, long)
    keeping = Grounder.open(bundle_folder, threads=1, keep_keys=True)
    between = read_between("2026-11-23T13:59:40", "2026-11-23T14:00:20")
    answerer = Answerer(keeping, Question((QUERY,), top_k=50))
    (recording,) = recordings_for([part for file in files for part in stretches(file, between)], "maximal")
    answerer.answer(recording)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.keys")}
    assert sorted(path.stem for path in made) == [file.feat.stem for file in files[:2]]
    answerer.answer(tuple(whole(file) for file in files))
    assert {path: path.stat().st_mtime_ns for path in made} == made and len(list(tmp_path.glob("*.keys"))) == 3


def test_between_two_times_only_snippets_that_begin_there_count(lenient: Grounder, long: Features, tmp_path: Path) -> None:
    files = in_parts(tmp_path, long)
    between = read_between("2026-11-23T13:59:40", "2026-11-23T14:00:20")
    (recording,) = recordings_for([part for file in files for part in stretches(file, between)], "maximal")
    ((seen_once,),) = Answerer(lenient, Question((QUERY,), top_k=50)).answer(recording).seen
    cut = replace(long, values=long.values[40:80], times_s=long.times_s[40:80], duration_s=80.0)
    starts = {file.video: number * PART_S for number, file in enumerate(files)}
    seen = [(one.moment.start_s + starts[one.moment.video], one.moment.score) for one in seen_once.detections]
    wanted = [(moment.start_s, moment.score) for moment in lenient.ground(cut, QUERY, top_k=50)]
    assert seen == wanted and len(seen) > 2


def test_a_time_of_day_means_every_day() -> None:
    day = read_between("22:00", "06:00")
    begin = datetime(2026, 11, 23, 5, 0)
    assert day.parts_s(begin, 3 * 86_400.0) == [
        (0.0, 3600.0),
        (17 * 3600.0, 25 * 3600.0),
        (41 * 3600.0, 49 * 3600.0),
        (65 * 3600.0, 72 * 3600.0),
    ]
    assert read_between("09:00", "10:00").parts_s(begin, 3600.0) == []
    zoned = read_between("2026-11-23T05:00Z", "2026-11-23T06:00+00:00")
    assert zoned.parts_s(datetime.fromisoformat("2026-11-23T06:30:00+01:00"), 3600.0) == [(0.0, 1800.0)]


@pytest.mark.parametrize("times", [("soon", "later"), ("14:00", "14:00"), ("2026-11-23", "14:00"), ("2026-11-23", "2026-11-22")])
def test_times_that_are_none(times: tuple[str, str]) -> None:
    with pytest.raises(WsraError, match=r"^--between "):
        read_between(*times)


@pytest.mark.parametrize(
    ("path", "camera"),
    [
        ("door_20261123_140000.feat", "door"),
        ("2026-11-23_14-00-00_garage.feat", "garage"),
        ("ch01_20261123140000_20261123150000.feat", "ch01"),
        ("north/ch01_20261123140000.feat", "north/ch01"),
        ("north/20261123T140000.feat", "north"),
        ("20261123T140000.feat", "archive"),
        ("yellow-shirt.feat", None),
    ],
)
def test_the_camera_of_a_file(path: str, camera: str | None, tmp_path: Path, make_features: Make) -> None:
    root = tmp_path / "archive"
    feat = put(root / path, make_features())
    file = footage_of(feat, read_summary(feat), root=root)
    assert file.camera == camera
    assert file.video == f"{path.removesuffix('.feat')}.mp4"
    assert file.start == (None if camera is None else datetime(2026, 11, 23, 14, 0))


def test_a_folder_is_its_files_ranked(
    bundle_folder: Path, grounder: Grounder, make_features: Make, rows: np.ndarray, tmp_path: Path
) -> None:
    """Exactly the merged answers of single files, also where two of them share a name."""
    names = [f"{place}clip{number}" for number in range(4) for place in ("", "north/", "south/deep/")]
    for seed, name in enumerate(names):
        features = make_features(40, grounder.manifest.feature_width, seed=seed, backbone=grounder.manifest.backbone)
        features.values[:: 5 + seed % 3] = rows[seed::12][: len(features.values[:: 5 + seed % 3])]
        put(tmp_path / "a" / f"{name}.feat", features)
    (tmp_path / "queries.txt").write_text(f"{QUERY}\n{OTHER}\n")
    both = found(tmp_path / "a", bundle_folder, inputs=[str(tmp_path / "a")], queries=tmp_path / "queries.txt", top_k=9)
    for query, result in zip((QUERY, OTHER), both.results, strict=True):
        single = []
        for name in sorted(names, key=lambda name: tmp_path / "a" / f"{name}.feat"):
            alone = found(tmp_path, bundle_folder, inputs=[str(tmp_path / "a" / f"{name}.feat"), query], top_k=9)
            single += [(f"{name}.mp4", *span_and_score(one.moment)) for one in alone.results[0].detections]
        wanted = sorted(single, key=lambda row: -row[3])[:9]
        assert [(one.moment.video, *span_and_score(one.moment)) for one in result.detections] == wanted
        assert query == OTHER or len({video for video, *_ in wanted}) > 3
    again = found(tmp_path, bundle_folder, inputs=[str(tmp_path / "a" / "north"), str(tmp_path / "a" / "south" / "deep"), QUERY], top_k=99)
    assert {one.moment.video for one in again.results[0].detections} <= {
        (tmp_path / "a" / f"{name}.feat").as_posix() for name in names if "/" in name
    }


def test_a_file_is_answered_once_however_it_is_reached(
    bundle_folder: Path, long: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = in_parts(tmp_path / "a", long)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    wanted = found(Path("a"), bundle_folder).results[0].detections
    for inputs in (["a", str(tmp_path / "a")], ["a", "link", "."], ["a", "b/../a"], ["a", *(str(file.feat) for file in files)]):
        (tmp_path / "b").mkdir(exist_ok=True)
        assert [span_and_score(one.moment) for one in found(tmp_path, bundle_folder, inputs=[*inputs, QUERY]).results[0].detections] == [
            span_and_score(one.moment) for one in wanted
        ]


def test_what_cannot_be_looked_into_is_named(bundle_folder: Path, long: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(tmp_path / "a", long)
    wanted = places(found(tmp_path / "a", bundle_folder))
    (tmp_path / "a" / "away.feat").symlink_to("not_mounted.feat")
    (tmp_path / "a" / "away.mp4").symlink_to("not_mounted.mp4")
    (tmp_path / "a" / "closed").mkdir()
    listed = os.scandir

    def refuse(place: str) -> object:
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr(os, "scandir", refuse)  # root may look into everything
    seen = found(tmp_path / "a", bundle_folder)
    assert places(seen) == wanted and len(seen.left_out) == 2, seen.left_out
    assert any("closed: this folder cannot be listed (Permission denied)" in reason for reason in seen.left_out)
    assert any("away.mp4" in reason for reason in seen.left_out)
    with pytest.raises(VideoError, match="none of these files"):
        found(tmp_path / "a" / "closed", bundle_folder)


def test_a_plan_without_a_score_is_refused_before_anything_is_opened(grounder: Grounder) -> None:
    pooled = replace(grounder.manifest, span_score="pooled", plan="relative")
    other = Grounder(pooled, grounder.encoder, grounder.scorer, bundle=grounder.bundle, precision="fp32")
    assert Answerer(other, Question((QUERY,), top_k=1)).plan == "relative"
    with pytest.raises(ConfigError, match="use relative or seconds"):
        Answerer(other, Question((QUERY,), plan="maximal"))


def test_a_path_in_the_place_of_the_sentence_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yard").mkdir()
    (tmp_path / "a.feat").touch()
    for last, kind in (("a.feat", "file"), ("yard/", "folder"), (str(tmp_path / "yard"), "folder")):
        with pytest.raises(QueryError, match=f"is a {kind}; expected a sentence"):
            paths_and_queries(["x", last], None)
    assert paths_and_queries(["x", "yard"], None) == ([Path("x")], ("yard",))


def test_queries_of_an_editor_that_marks_its_files(tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_bytes(b"\xef\xbb\xbf" + f"{QUERY}\r\n\r\n {OTHER}\r\n".encode())
    assert read_queries(tmp_path / "queries.txt") == [QUERY, OTHER]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"duration_s": 1e18}, "duration is 1e+18 s; expected more than 0 s and at most ten years"),
        ({"times_s": 1e15}, "expected at most ten years"),
    ],
)
@pytest.mark.parametrize("between", [None, ("2026-11-23T13:59:40", "2026-11-23T14:00:20"), ("13:00", "14:00")])
def test_absurd_times_with_a_clock_are_left_out(
    values: dict[str, float],
    message: str,
    between: tuple[str, str] | None,
    bundle_folder: Path,
    long: Features,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Finite, but no date so much later exists: one file was enough for a folder to go unanswered."""
    files = in_parts(tmp_path / "a", long)
    wanted = places(found(tmp_path / "a", bundle_folder, between=between))
    features = read_features(files[0].feat)
    with monkeypatch.context() as patch:
        patch.setattr(wsra.runtime.formats.features, "_check", lambda features: None)  # as a stranger may write it
        changed = {name: features.times_s + value if name == "times_s" else value for name, value in values.items()}
        put(tmp_path / "a" / "gate_20261123_140000.feat", replace(features, **changed))
    seen = found(tmp_path / "a", bundle_folder, between=between)
    assert places(seen) == wanted
    (reason,) = seen.left_out
    assert "gate_20261123_140000.feat: " in reason and message in reason


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (wsra.runtime.archive.inputs, "footage_of"),
        (wsra.runtime.archive.search, "whole"),
        (wsra.runtime.archive.answering, "curve_of"),
        (wsra.runtime.archive.answering, "joined_features"),
    ],
)
@pytest.mark.parametrize("raised", [OverflowError("date value out of range"), MemoryError(), KeyError("times_s"), OSError(5, "I/O error")])
def test_whatever_is_raised_over_one_file_does_not_stop_the_rest(
    raised: Exception, module: ModuleType, name: str, bundle_folder: Path, long: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step of an archive: looking at a file, choosing its part, joining and answering it."""
    in_parts(tmp_path / "a", long)
    wanted = places(found(tmp_path / "a", bundle_folder))
    put(tmp_path / "a" / "bad_20261123_140000.feat", replace(long, values=long.values[:60], times_s=long.times_s[:60], duration_s=60.0))
    real = getattr(module, name)

    def fails(*args: object, **options: object) -> object:
        if "bad_" in repr((args, options)):
            raise raised
        return real(*args, **options)

    monkeypatch.setattr(module, name, fails)
    seen = found(tmp_path / "a", bundle_folder)
    assert places(seen) == wanted
    (reason,) = seen.left_out
    assert "bad_20261123_140000.feat: cannot be " in reason and "\n" not in reason


def test_a_video_over_which_a_library_fails_does_not_stop_the_folder(
    bundle_folder: Path, long: Features, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts(tmp_path / "a", long)
    wanted = places(found(tmp_path / "a", bundle_folder))
    shutil.copy(clip_file, tmp_path / "a" / "bad.mp4")

    def fails(*args: object) -> None:
        raise OverflowError("date value out of range")

    monkeypatch.setattr("wsra.runtime.extraction.batch.start_of", fails)
    seen = found(tmp_path / "a", bundle_folder)
    assert places(seen) == wanted
    assert [reason.startswith(f"{tmp_path / 'a' / 'bad.mp4'}: cannot be used (OverflowError") for reason in seen.left_out] == [True]


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_an_input_that_is_no_name_of_a_file(name: str, bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(cannot be read|no such file).*expected a video, a \.feat file or a folder"):
        found(tmp_path, bundle_folder, inputs=[name, QUERY])


def test_queries_that_never_end(tmp_path: Path) -> None:
    for name, make in (("pipe", os.mkfifo), ("zero", lambda path: path.symlink_to("/dev/zero"))):
        make(tmp_path / name)
        with pytest.raises(QueryError, match="cannot be read .a pipe, device or socket, not a regular file.; expected one query per line"):
            read_queries(tmp_path / name)


def test_two_hundred_videos_are_their_merged_single_results(
    bundle_folder: Path, grounder: Grounder, make_features: Make, rows: np.ndarray, tmp_path: Path
) -> None:
    """The same moments in the order of their scores; BLAS may round a sum by where its numbers lie in memory, so scores differ by 1e-6."""
    single, wanted = Grounder.open(bundle_folder, precision="fp32", threads=1, kernel="numpy"), []
    for number in range(200):
        seed = number % 150
        features = make_features(6 + seed % 11, grounder.manifest.feature_width, seed=seed, backbone=grounder.manifest.backbone)
        features.values[seed % 5] = rows[seed % 6]
        put(tmp_path / "many" / f"v{number:03d}.feat", features)
        wanted += [
            (f"v{number:03d}.mp4", *span_and_score(moment)) for moment in single.ground(features, QUERY, top_k=30, false_alarms=np.inf)
        ]
    wanted.sort(key=lambda row: -row[3])
    seen = found(tmp_path / "many", bundle_folder, top_k=30, kernel="numpy").results[0].detections
    scores = {tuple(place): score for *place, score in wanted}
    answers = [(one.moment.video, *span_and_score(one.moment)) for one in seen]
    assert [score for *_, score in answers] == pytest.approx([score for *_, score in wanted[:30]], abs=1e-5)
    assert all(scores[tuple(place)] == pytest.approx(score, abs=1e-5) for *place, score in answers)
    assert len({tuple(place) for *place, _ in answers}) == 30 < len(wanted)


def test_a_long_curve_is_kept_as_its_peaks(grounder: Grounder, make_features: Make, tmp_path: Path) -> None:
    """Each kept snippet is the highest of its stretch, at its own time; a short curve is kept whole."""
    for count in (7, 1024, 1025, 5000):
        features = make_features(count, grounder.manifest.feature_width, seed=count, backbone=grounder.manifest.backbone)
        answer = grounder.answer(features, QUERY)
        curve = curve_of(answer, title="v", duration_s=features.duration_s)
        size = -(-count // 1024)
        groups = [range(first, min(first + size, count)) for first in range(0, count, size)]
        kept = [max(group, key=lambda row: answer.curve[row]) for group in groups]
        assert len(kept) <= 1024 and (size > 1 or len(kept) == count)
        np.testing.assert_array_equal(curve.curve, answer.curve[kept])
        np.testing.assert_array_equal(curve.times_s, answer.times_s[kept])


def test_a_broken_file_is_named_and_the_rest_answered(
    bundle_folder: Path, long: Features, make_features: Make, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    good = tmp_path / "good"
    files = in_parts(good, long)
    shutil.copytree(good, tmp_path / "bad")
    (good / files[1].feat.name).unlink()
    values = np.array(long.values[:PART_S])
    middle = tmp_path / "bad" / files[1].feat.name
    content = middle.read_bytes()
    middle.write_bytes(content.replace(long.values[PART_S + 7].tobytes(), np.full_like(values[7], np.nan).tobytes()))
    (tmp_path / "bad" / "cut.feat").write_bytes(content[:-9])
    put(tmp_path / "bad" / "other.feat", make_features(3, 4))
    absurd = replace(long, values=np.full_like(values, 3e38), times_s=long.times_s[:PART_S], duration_s=float(PART_S))
    put(tmp_path / "bad" / f"door_{BEGIN + timedelta(seconds=3 * PART_S):%Y%m%d_%H%M%S}.feat", absurd)
    wanted, seen = found(good, bundle_folder), found(tmp_path / "bad", bundle_folder)
    assert places(seen) == places(wanted) and places(wanted) and not wanted.left_out
    assert seen.hours == wanted.hours == 2 * PART_S / 3600  # what cannot be scored was not asked, and lowers no confidence
    assert len(seen.left_out) == 4
    for name, why in (
        (files[1].feat.name, "rows 0 to 60 of features are damaged"),
        ("cut.feat", "truncated"),
        ("other.mp4", "features of test"),
        ("door_20261123_140200", "NaN or infinite"),
    ):
        assert any(name in reason and why in reason for reason in seen.left_out), seen.left_out
    assert [record.levelname for record in logged.records if record.getMessage().startswith("left out: ")] == ["WARNING"] * 4
    run = CliRunner().invoke(app, ["ground", str(tmp_path / "bad"), QUERY, "-b", str(bundle_folder), "--false-alarms", "inf", "--json"])
    assert run.exit_code == 1 and json.loads(run.stdout.splitlines()[0])["found"]
    with pytest.raises(FeatureError, match="of features are damaged"):
        found(middle, bundle_folder)


class Extractor:
    """Stands for extraction: remembers what was asked of it."""

    def __init__(self, width: int, make_features: Make) -> None:
        self.asked: list[str] = []
        self._make, self._width = make_features, width

    def __call__(self, path: Path, *, backbone: object, snippet_s: float, decoder: str, progress: object) -> Features:
        self.asked.append(path.name)
        features = self._make(20, self._width, seed=len(path.read_bytes()), backbone=backbone.id(snippet_s), video=path.name)  # type: ignore[attr-defined]
        return replace(features, extra={**provenance(path, file_state(path)), "snippet_s": "1"})


def test_new_files_are_picked_up_and_unchanged_ones_left_alone(
    bundle_folder: Path, grounder: Grounder, make_features: Make, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    logged: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    pytest.importorskip("cv2")
    extractor = Extractor(grounder.manifest.feature_width, make_features)
    monkeypatch.setattr(wsra.runtime.archive.videos, "extract_features", extractor)
    archive = tmp_path / "archive"
    archive.mkdir()
    old, new = (Path(shutil.copy(clip_file, tmp_path / "archive" / name)) for name in ("old.mp4", "new.mp4"))
    new.rename(tmp_path / "new.mp4")
    found(archive, bundle_folder)
    assert extractor.asked == ["old.mp4"]
    before = old.with_suffix(".feat").stat().st_mtime_ns
    (tmp_path / "new.mp4").rename(new)
    found(archive, bundle_folder)
    assert extractor.asked == ["old.mp4", "new.mp4"] and old.with_suffix(".feat").stat().st_mtime_ns == before

    hashed: list[str] = []
    digest = wsra.runtime.files.digests.sha256_of
    monkeypatch.setattr(
        wsra.runtime.files.digests, "sha256_of", lambda path: (hashed.append(path.name) if path.suffix == ".mp4" else None) or digest(path)
    )
    for asked_for in (archive, old):
        found(asked_for, bundle_folder)
    assert hashed == [] and len(extractor.asked) == 2
    os.utime(old, ns=(1, 1))  # copied, or restored: the same bytes
    for asked_for in (archive, old, archive):
        found(asked_for, bundle_folder)
    assert hashed == ["old.mp4"] and len(extractor.asked) == 2
    old.write_bytes(clip_file.read_bytes() + bytes(8))
    logged.clear()
    found(archive, bundle_folder)
    assert extractor.asked[2:] == ["old.mp4"] and f"{old}: changed since it was extracted" in logged.text
    found(archive, bundle_folder)
    assert len(extractor.asked) == 3


def test_features_of_another_backbone_are_find_sidecar_ones_own(
    bundle_folder: Path, grounder: Grounder, make_features: Make, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    extractor = Extractor(grounder.manifest.feature_width, make_features)
    monkeypatch.setattr(wsra.runtime.archive.videos, "extract_features", extractor)
    video = Path(shutil.copy(clip_file, tmp_path / "clip.mp4"))
    others = {"source_sha256": "0" * 64, "snippet_s": "1"}
    plain = put(tmp_path / "clip.feat", replace(make_features(4, 3, backbone="zero@1s"), extra=others))
    before = plain.read_bytes()
    own = tmp_path / f"clip.{tag_of(grounder.manifest.backbone)}.feat"
    for asked_for in (tmp_path, video, own, tmp_path):
        assert not found(asked_for, bundle_folder).left_out
    assert extractor.asked == ["clip.mp4"] and plain.read_bytes() == before and own.is_file()
    assert find_sidecar(video, "zero@1s")[0] == plain and find_sidecar(video, grounder.manifest.backbone)[0] == own
    video.unlink()  # features that were copied without their videos
    assert not found(tmp_path, bundle_folder).left_out
    own.unlink()
    put(tmp_path / "more.feat", make_features(9, grounder.manifest.feature_width, backbone=grounder.manifest.backbone))
    (reason,) = found(tmp_path, bundle_folder).left_out
    assert "features of zero@1s" in reason


@pytest.mark.skipif(sys.platform == "win32", reason="ulimit")
def test_a_thousand_files_need_few_handles(
    bundle_folder: Path, grounder: Grounder, make_features: Make, rows: np.ndarray, tmp_path: Path
) -> None:
    """Half of them one recording, half apart."""
    features = make_features(3, grounder.manifest.feature_width, backbone=grounder.manifest.backbone)
    features.values[1:] = rows[:2]
    for number in range(500):
        write_features(tmp_path / "many" / f"door_{BEGIN + timedelta(seconds=3 * number):%Y%m%d_%H%M%S}.feat", features)
        write_features(tmp_path / "many" / f"clip{number}.feat", features)
    ground = f"ground many '{QUERY}' -b '{bundle_folder}' --threads 1 --false-alarms inf --json"
    command = f"ulimit -n 256 && exec {sys.executable} -m wsra.runtime.cli {ground}"
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and json.loads(run.stdout)["moments"], run.stderr


def test_files_without_a_clock_are_left_out_of_a_time_and_said(
    bundle_folder: Path, long: Features, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    in_parts(tmp_path, long)
    put(tmp_path / "clip.feat", long)
    seen = found(tmp_path, bundle_folder, between=("13:59", "14:00"), top_k=99).results[0].detections
    assert {one.moment.video for one in seen} == {"door_20261123_135900.mp4"} and all(one.moment.end_s <= PART_S for one in seen)
    assert f"no wall clock is known of {tmp_path / 'clip.feat'}: left out" in logged.text
    nothing = found(tmp_path, bundle_folder, between=("2027-01-01", "2027-01-02"))
    assert nothing.results[0].detections == [] and "no video is of that time" in logged.text
