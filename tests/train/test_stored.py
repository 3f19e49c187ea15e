"""Features on disk: the same training as from memory, in less memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from objects import object_features

from tiny import make_rows_run, make_run
from wsra.runtime.errors import DataError, FeatureError
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.train.config import Run, read_run
from wsra.train.data import load, moments_of_features
from wsra.train.run import TrainingSets, prepare, train
from wsra.train.stored import SeenAs, StoredFeatures

LARGE = Path(__file__).parent.parent / "support" / "large.py"


def test_reading_from_disk_trains_as_memory_does_to_the_bit(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path), ["training.cache_mb=0", "training.feature_noise=0.1"])
    stored = prepare(run, tmp_path / "cache")
    assert isinstance(stored.train[0].values, StoredFeatures)
    held = [(replace(data, values=tuple(data.values)), text) for data, text in (stored.train, stored.val)]
    some = read_run(tmp_path / "run.toml", ["training.cache_mb=1", "training.feature_noise=0.1"])
    runs: dict[str, tuple[Run, TrainingSets]] = {
        "stored": (run, stored),
        "held": (run, TrainingSets(*held)),
        "some": (some, prepare(some, tmp_path / "cache")),
    }
    for name, (settings, prepared) in runs.items():
        train(settings, tmp_path / name, prepared)
    for file in ("model.safetensors", "last.safetensors", "metrics.csv"):
        assert len({(tmp_path / name / file).read_bytes() for name in runs}) == 1, file


def test_the_cache_keeps_what_fits_and_no_more(tmp_path: Path, make_features: Callable[..., Features]) -> None:
    for number in range(3):
        write_features(tmp_path / f"{number}.feat", make_features(100, 1000, seed=number))  # 0.4 MB each
    values = StoredFeatures([tmp_path / f"{n}.feat" for n in range(3)], seen_as="snippets", cache_mb=1)
    first = [values[n] for n in range(3)]
    assert [values[n] is first[n] for n in range(3)] == [True, True, False]
    assert torch.equal(values[2], first[2])
    assert [len(part) for part in (values[1:], values[:0])] == [2, 0] and torch.equal(values[1:][0], first[1])


def test_a_long_video_is_seen_as_equal_runs_of_snippets(tmp_path: Path, make_features: Callable[..., Features]) -> None:
    features = make_features(10, 3)
    write_features(tmp_path / "v.feat", features)
    short = StoredFeatures([tmp_path / "v.feat"], seen_as="snippets", longest=4)[0].numpy()
    rows = features.values
    expected = [(rows[0] + rows[1] + rows[2] / 2) / 2.5, (rows[2] / 2 + rows[3] + rows[4]) / 2.5]
    assert short.shape == (4, 3)
    np.testing.assert_allclose(short[:2], expected, rtol=1e-5)
    assert torch.equal(StoredFeatures([tmp_path / "v.feat"], seen_as="snippets", longest=10)[0], torch.from_numpy(rows))


def test_a_long_bag_of_rows_is_thinned_and_none_is_mixed(tmp_path: Path) -> None:
    features = object_features([(0.0, 10.0), (0.0, 10.0)], width=3, values=np.array([[1.0] * 3, [2.0] * 3]))
    write_features(tmp_path / "v.feat", features)
    stored = StoredFeatures([tmp_path / "v.feat"], seen_as="snippets", longest=4)
    assert stored[0].shape == (4, 3) and set(stored[0].flatten().tolist()) <= {1.0, 2.0}
    assert stored.tracks_seen(stored.features(0)).tolist() == [int(value) - 1 for value in stored[0][:, 0]]
    whole = StoredFeatures([tmp_path / "v.feat"], seen_as="snippets", longest=20)
    assert torch.equal(whole[0], torch.from_numpy(features.values.astype(np.float32)))
    thinned = [row for row in range(20) if row in {2, 7, 12, 17}]  # the middle of each quarter of the bag
    assert torch.equal(stored[0], whole[0][thinned])


def test_a_video_in_which_nothing_moves_is_one_row_of_zeros(tmp_path: Path) -> None:
    write_features(tmp_path / "v.feat", object_features([], width=5))
    stored = StoredFeatures([tmp_path / "v.feat"], seen_as="snippets")
    assert torch.equal(stored[0], torch.zeros(1, 5)) and stored.tracks_seen(stored.features(0)).tolist() == [-1]


@pytest.mark.parametrize("seen_as", ["windows", "segments"])
def test_windows_of_objects_are_refused(seen_as: SeenAs, tmp_path: Path) -> None:
    run = read_run(make_rows_run(tmp_path))
    with pytest.raises(DataError, match=f"features of objects cannot be seen as {seen_as}; set data.seen_as"):
        load(Path(run.data.captions), Path(run.data.features), seen_as=seen_as)


def test_rows_of_objects_and_of_snippets_are_not_learned_from_together(tmp_path: Path, make_features: Callable[..., Features]) -> None:
    run = read_run(make_rows_run(tmp_path, width=5))
    made_by = read_features(tmp_path / "features" / "val2.feat").backbone
    write_features(tmp_path / "features" / "val3.feat", make_features(9, 5, backbone=made_by))
    with pytest.raises(DataError, match=r"val0 was made by .*\(5 wide, of objects\), val3 by .* \(5 wide\); extract all with"):
        load(Path(run.data.val_captions), Path(run.data.features), seen_as="snippets")


def test_sets_in_which_nothing_moves_are_refused(tmp_path: Path) -> None:
    write_features(tmp_path / "v.feat", object_features([], width=5))
    (tmp_path / "c.jsonl").write_text('{"query": "a man", "vid": "v"}\n')
    with pytest.raises(DataError, match="nothing moves in any of its 1 videos"):
        load(tmp_path / "c.jsonl", tmp_path, seen_as="snippets")


def test_a_snippet_of_objects_lasts_as_long_as_the_file_says(tmp_path: Path) -> None:
    """Most rows here are shorter than their second."""
    (tmp_path / "c.jsonl").write_text('{"query": "a man", "vid": "v"}\n')
    features = object_features([(0.5, 1.25), (4.5, 5.25)])
    write_features(tmp_path / "v.feat", replace(features, extra={"snippet_s": "1"}))
    data = load(tmp_path / "c.jsonl", tmp_path, seen_as="snippets")
    assert data.of_objects and data.snippet_s == 1.0
    write_features(tmp_path / "v.feat", features)
    assert load(tmp_path / "c.jsonl", tmp_path, seen_as="snippets").snippet_s == 0.5


def test_rows_of_objects_are_learned_from(tmp_path: Path) -> None:
    """Bags of one row of zeros among them."""
    run = read_run(make_rows_run(tmp_path, epochs=25))
    prepared = prepare(run, tmp_path / "cache")
    assert prepared.train[0].of_objects and min(len(values) for values in prepared.train[0].values) == 1
    rows = train(run, tmp_path / "out", prepared)
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert max(row["val_match"] for row in rows) > 75  # chance: 50


def test_moments_are_those_of_all_rows_at_once_also_around_a_large_offset(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    data = load(Path(run.data.captions), Path(run.data.features), seen_as="snippets")
    rng = np.random.default_rng(0)
    values = [torch.from_numpy(rng.normal(1000, 0.1, (n, 4)).astype(np.float32)) for n in (1, 5000, 9000)]
    mean, spread = moments_of_features(replace(data, values=values))
    rows = np.concatenate([v.numpy() for v in values]).astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(spread, rows.std(axis=0), rtol=1e-6)


def test_a_file_that_goes_bad_later_is_named(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path), ["training.cache_mb=0"])
    prepared = prepare(run, tmp_path / "cache")
    (tmp_path / "features" / "train7.feat").unlink()
    with pytest.raises(FeatureError, match=r"train7\.feat: no such file"):
        train(run, tmp_path / "out", prepared)


def make_large(folder: Path, *, videos: int, snippets: int, width: int) -> int:
    """One caption per video over random features; their size in MB."""
    values = np.random.default_rng(0).normal(size=(snippets, width)).astype(np.float16)
    starts = np.arange(snippets, dtype=np.float64)
    for split, count in (("train", videos), ("val", 8)):
        rows = [{"query": "a man", "vid": f"{split}{n}"} for n in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for number in range(count):
            values[0, 0] = number
            features = Features(values, np.stack([starts, starts + 1], 1), f"{split}{number}", float(snippets), "b")
            write_features(folder / "features" / f"{split}{number}.feat", features)
    (folder / "run.toml").write_text(
        '[data]\ncaptions = "train.jsonl"\nval_captions = "val.jsonl"\nfeatures = "features"\n'
        "[sampling]\nfirst = 1\nlast = 1\ndraws = 2\n"
        "[training]\nepochs = 1\nbatch = 5\nkey_width = 8\nthreads = 1\ncache_mb = 20\n"
    )
    return videos * values.nbytes // 1_000_000


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mappings on Linux only")
def test_a_set_larger_than_memory(tmp_path: Path) -> None:
    """600 MB of features as float16 (1,200 as float32), 200 MB allowed, and far fewer file handles than videos."""
    size_mb = make_large(tmp_path, videos=600, snippets=1000, width=500)
    assert size_mb == 600

    def epoch(name: str, how: str) -> subprocess.CompletedProcess[str]:
        arguments = [tmp_path / "run.toml", tmp_path / name, "200", how]
        return subprocess.run([sys.executable, LARGE, *map(str, arguments)], capture_output=True, text=True)

    read = epoch("read", "stored")
    assert read.stdout == "trained\n", read.stderr
    held = epoch("held", "whole")  # the limit is real
    assert held.returncode == 1 and held.stderr.splitlines()[-1] == "out of memory", held.stderr
