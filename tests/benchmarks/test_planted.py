from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from planter import DIFFICULTIES, Difficulty, Planter, coverage, looks, write_planted
from splits import Splits, lengthened, read_charades, read_uca, with_wrong_captions
from wsra.runtime.errors import DataError, OutputError
from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.train.config import Run, run_from_table
from wsra.train.data import CaptionedVideos, load
from wsra.train.loop import fit
from wsra.train.objective import CaptionObjective
from wsra.train.spans import SpanObjective, shares_inside

PLAIN = Difficulty(signal=1.0, traces_per_minute=6.0, scene=0.5, drift=0.2, noise=0.2, trace=0.5)


def sentences(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Names of sentences with vectors of their own."""
    return [f"sentence {n}" for n in range(count)], np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)


def splits(videos: int, *, seed: int = 0) -> tuple[Splits, np.ndarray]:
    """Two sentences a video, each 10 s of 30 s, with vectors; the splits share sentences and no video."""
    rng = np.random.default_rng(seed)
    names, vectors = sentences(20)
    sets: dict[str, list[Annotation]] = {}
    for split, count in (("train", videos), ("val", videos // 4), ("test", videos // 4)):
        sets[split] = []
        for v in range(count):
            for part, n in enumerate(rng.choice(20, 2, replace=False)):
                start = 15.0 * part + float(rng.integers(0, 5))
                vid = f"{split}{v}"
                sets[split].append(Annotation(f"{vid}-{part}", names[n], vid, 30.0, ((start, start + 10.0),), {}))
    every = [a for split in sets.values() for a in split]
    return Splits(**sets), np.stack([vectors[names.index(a.query)] for a in every])


def test_the_frozen_difficulties() -> None:
    table = json.dumps({name: repr(difficulty) for name, difficulty in DIFFICULTIES.items()})
    assert hashlib.sha256(table.encode()).hexdigest()[:16] == "fb89cd356a5fde9f"


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not(tmp_path: Path) -> None:
    annotations, text = splits(8)
    for name, difficulty in (("a", PLAIN), ("b", PLAIN), ("c", Difficulty(signal=1.0, traces_per_minute=6.0, seed=1))):
        write_planted(tmp_path / name, annotations, text, difficulty, wrong=[0.5])
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 8 + 2 + 2 + 4
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert all((tmp_path / "a" / f).read_bytes() != (tmp_path / "c" / f).read_bytes() for f in files if f.suffix == ".feat")
    with pytest.raises(OutputError, match="exists already"):
        write_planted(tmp_path / "a", annotations, text, PLAIN)


def test_a_video_does_not_depend_on_which_others_are_made() -> None:
    names, vectors = sentences(6)
    look = dict(zip(names, looks(vectors, vectors.mean(axis=0), 0), strict=True))
    planter = Planter(PLAIN, look, names, [8.0])
    one = [Annotation("1", names[0], "v", 20.0, ((2.0, 9.0),), {})]
    first = planter.features(one).values
    planter.features([Annotation("2", names[1], "w", 12.0, ((2.0, 9.0),), {})])
    np.testing.assert_array_equal(first, planter.features(one).values)


def test_coverage_counts_shares_of_snippets() -> None:
    times_s = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 3.5]])
    np.testing.assert_allclose(coverage([(0.75, 2.5), (3.25, 3.5)], times_s), [0.25, 1.0, 0.5, 0.5])


def test_sentences_show_inside_their_spans_only_and_traces_are_weaker() -> None:
    names, vectors = sentences(40)
    look = dict(zip(names, looks(vectors, vectors.mean(axis=0), 0), strict=True))
    planter = Planter(PLAIN, look, names[1:], [8.0])
    inside, outside, unrelated = [], [], []
    for v in range(60):
        features = planter.features([Annotation("1", names[0], f"v{v}", 30.0, ((10.0, 20.0),), {})])
        assert features.values.dtype == np.float16 and features.values.shape == (30, 128)
        shown = np.asarray(features.values, np.float64) @ look[names[0]] / np.sum(look[names[0]] ** 2)
        inside.append(shown[10:20].mean())
        outside.append(np.concatenate([shown[:10], shown[20:]]).mean())
        every = np.stack([look[name] for name in names[1:]])
        fitted, *_ = np.linalg.lstsq(every.T, np.asarray(features.values, np.float64).T, rcond=None)
        unrelated.append(fitted.max())  # the clearest trace of all
    assert 0.6 < np.mean(inside) - np.mean(outside) < 0.8  # the envelope is about 0.7
    assert abs(np.mean(outside)) < 0.1
    assert 0 < np.mean(unrelated) < np.mean(inside)


def test_all_captions_may_be_wrong() -> None:
    annotations = splits(50)[0].train
    dealt = with_wrong_captions(annotations, 1.0, seed=0)
    assert all(a.vid != b.vid and b.windows_s == () for a, b in zip(annotations, dealt, strict=True))


def test_longer_videos_hold_the_same_moments_at_a_place_of_their_own() -> None:
    annotations = splits(50)[0].train
    longer = lengthened(annotations, 4.0, seed=0)
    moved: dict[str, float] = {}
    for before, after in zip(annotations, longer, strict=True):
        ((start, end),), ((new_start, new_end),) = before.windows_s, after.windows_s
        assert after.duration_s == 4 * before.duration_s and new_end - new_start == pytest.approx(end - start)
        assert moved.setdefault(before.vid, new_start - start) == pytest.approx(new_start - start)
        assert new_start >= 0 and new_end <= after.duration_s and (before.qid, before.query) == (after.qid, after.query)
    assert 30 < np.mean(list(moved.values())) < 60 and min(moved.values()) < 15 < 75 < max(moved.values())
    assert lengthened(annotations, 4.0, seed=0) == longer != lengthened(annotations, 4.0, seed=1)


def test_wrong_captions_are_as_many_as_asked_and_wrong() -> None:
    annotations = splits(50)[0].train
    dealt = with_wrong_captions(annotations, 0.3, seed=0)
    moved = [(a, b) for a, b in zip(annotations, dealt, strict=True) if a.vid != b.vid]
    assert len(moved) == 30
    assert sorted(a.vid for a, _ in moved) == sorted(b.vid for _, b in moved)
    assert all(a.query == b.query and a.qid == b.qid and b.windows_s == () for a, b in moved)
    assert all(a is b for a, b in zip(annotations, dealt, strict=True) if a.vid == b.vid)


def test_test_sentences_seen_in_training_whatever_their_case() -> None:
    def said(query: str) -> Annotation:
        return Annotation("1", query, "v", 10.0, ((0.0, 1.0),), {})

    assert Splits([said("A man runs.")], [], [said("a man runs"), said("a man walks")]).seen() == [True, False]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[CaptionedVideos, torch.Tensor]]]:
    """A small planted set: its folder, and per split what `fit` wants."""
    folder = tmp_path_factory.mktemp("planted") / "set"
    annotations, text = splits(60)
    write_planted(folder, annotations, text, PLAIN)
    count = len(annotations.train)
    vectors = {"train": torch.from_numpy(text[:count]), "val": torch.from_numpy(text[count : count + len(annotations.val)])}
    return folder, {
        name: (load(folder / f"captions-{name}.jsonl", folder / "features", seen_as="snippets"), vectors[name]) for name in vectors
    }


def run_on(folder: Path, *, epochs: int, loss: dict[str, float] | None = None) -> Run:
    table = {"captions": "train", "val_captions": "val", "features": str(folder / "features")}
    training = {"epochs": epochs, "learning_rate": 1e-2, "key_width": 32, "batch": 24, "threads": 1}
    return run_from_table({"data": table, "loss": loss or {}, "training": training}, "test")


def test_the_skyline_learns_a_small_planted_set(
    small: tuple[Path, dict[str, tuple[CaptionedVideos, torch.Tensor]]], tmp_path: Path
) -> None:
    folder, sets = small
    run = run_on(folder, epochs=25)
    goals = {
        name: SpanObjective(shares_inside(data, read_annotations(folder / f"captions-{name}.jsonl")), run.sampling)
        for name, (data, _) in sets.items()
    }
    rows = fit(run, tmp_path / "run", sets["train"], sets["val"], objective=goals["train"], val_objective=goals["val"])
    assert max(row["val_match"] for row in rows) > 90  # chance is 50


@pytest.mark.parametrize(("background", "collapses"), [(0.02, False), (5.0, True)])
def test_the_watch_tells_a_run_on_background_from_a_sound_one(
    small: tuple[Path, dict[str, tuple[CaptionedVideos, torch.Tensor]]], tmp_path: Path, background: float, collapses: bool
) -> None:
    folder, sets = small
    run = run_on(folder, epochs=6, loss={"background": background})
    rows = fit(run, tmp_path / "run", sets["train"], sets["val"], objective=CaptionObjective(run.loss, run.sampling))
    assert any(row["collapsed"] for row in rows) == collapses
    assert (rows[-1]["val_match"] > 80) != collapses  # about 93 and 68


def test_missing_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="charades.json"):
        read_charades(tmp_path)


@pytest.mark.parametrize(("name", "sizes"), [("charades", (11152, 1256, 3720)), ("uca", (5733, 1404, 1260))])
def test_the_real_splits_share_no_video(name: str, sizes: tuple[int, int, int], data_folder: Path) -> None:
    found = read_charades(data_folder / "charades_sta") if name == "charades" else read_uca(data_folder / "uca")
    videos = [{a.vid for a in split} for split in (found.train, found.val, found.test)]
    assert not videos[0] & videos[1] and not videos[0] & videos[2] and not videos[1] & videos[2]
    assert (len(found.train), len(found.val), len(found.test)) == sizes
    assert all(
        0 <= start < end <= a.duration_s for split in (found.train, found.val, found.test) for a in split for start, end in a.windows_s
    )
    if name == "charades":
        assert sum(found.seen()) == 1543  # 42.2 % verbatim of the whole training file (STATS); validation took some
