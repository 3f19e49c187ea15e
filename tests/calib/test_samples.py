"""The choice of calibration data, and what is said when it cannot serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsra.calib.samples import SENTENCES, SNIPPETS, choose_samples, samples_from_captions
from wsra.runtime.errors import DataError, FeatureError
from wsra.runtime.formats.features import Features, read_features, write_features

pytestmark = pytest.mark.device
Make = Callable[..., Features]
IDS = [[1] * length for length in (3, 4, 5, 6, 7)]


def test_snippets_come_from_every_video_and_from_all_of_its_time(make_features: Make) -> None:
    videos = [make_features(4000, 2, seed=i) for i in range(4)]
    for number, video in enumerate(videos):
        video.values[:, 0], video.values[:, 1] = number, np.arange(4000)
    samples = choose_samples(videos, IDS, source="s")
    assert len(samples.features) == SNIPPETS
    for number in range(4):
        places = samples.features[samples.features[:, 0] == number, 1]
        assert len(places) == SNIPPETS // 4 and np.diff(places).max() <= 2 * 4000 / (SNIPPETS // 4) + 1


def test_sentences_come_from_every_length(make_features: Make) -> None:
    ids = [[1] * 5] * 3000 + [[1] * length for length in range(6, 20) for _ in range(40)]
    samples = choose_samples([make_features(500)], ids, source="s")
    assert len(samples.token_ids) == SENTENCES
    assert {len(row) for row in samples.token_ids} == set(range(5, 20))
    assert [len(row) for row in samples.token_ids] == sorted(len(row) for row in samples.token_ids)


def test_the_choice_is_seeded_and_its_digest_follows_it(make_features: Make) -> None:
    videos = [make_features(5000)]
    one, same, other = (choose_samples(videos, IDS, source="s", seed=seed) for seed in (0, 0, 1))
    assert one.digest() == same.digest() != other.digest()
    assert replace(one, token_ids=[*one.token_ids[:-1], [9]]).digest() != one.digest()
    assert one.to_json()["sha256"] == one.digest() and one.to_json()["snippets"] == SNIPPETS


def test_no_sentence_is_padded(make_features: Make) -> None:
    batches = choose_samples([make_features(500)], [*IDS, [2] * 4, *([3] * 7 for _ in range(50))], source="s").text_batches()
    assert all((feeds["attention_mask"] == 1).all() for feeds in batches)
    assert sorted({feeds["input_ids"].shape[1] for feeds in batches}) == [3, 4, 5, 6, 7]
    assert sum(len(feeds["input_ids"]) for feeds in batches) == 56


@pytest.mark.parametrize(
    ("snippets", "ids", "message"),
    [
        (31, IDS, "31 snippets to calibrate on, fewer than 32"),
        (300, IDS[:3], "3 sentences to calibrate on, fewer than 4"),
        (300, [], "0 sentences"),
    ],
)
def test_too_little_is_refused(make_features: Make, snippets: int, ids: list[list[int]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose_samples([make_features(snippets)], ids, source="s")


def test_constant_features_are_refused_and_a_dead_column_is_reported(make_features: Make) -> None:
    video = make_features(300)
    with pytest.raises(DataError, match="all 300 snippets have the same features"):
        choose_samples([replace(video, values=np.ones_like(video.values))], IDS, source="s")
    video.values[:, 1] = 0
    assert any("1 of 4 features never change" in doubt for doubt in choose_samples([video], IDS, source="s").warnings)
    video.values[5, 2] = np.nan
    with pytest.raises(FeatureError, match="nan in snippet 5"):
        choose_samples([video], IDS, source="s")


def test_few_samples_and_one_length_are_reported(make_features: Make) -> None:
    doubts = choose_samples([make_features(100)], [[i] * 6 for i in range(10)], source="cam.jsonl").warnings
    assert any("only 100 snippets" in doubt for doubt in doubts) and any("only 10 sentences" in doubt for doubt in doubts)
    assert any("every sentence has 6 tokens" in doubt for doubt in doubts)
    plenty = choose_samples([make_features(300)], [[i] * (3 + i % 9) for i in range(80)], source="s")
    assert plenty.warnings == []


@pytest.fixture
def captioned(tmp_path: Path, make_features: Make) -> tuple[Path, Path]:
    rows = []
    for number in range(6):
        write_features(tmp_path / f"v{number}.feat", make_features(60, seed=number, video=f"v{number}"))
        rows += [{"query": f"sentence {number} {'word ' * k}".strip(), "vid": f"v{number}"} for k in range(3)]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "captions.jsonl", tmp_path


def words(sentence: str) -> list[int]:
    return [sum(map(ord, word)) for word in sentence.split()]


def test_what_the_gate_checks_is_left_out(captioned: tuple[Path, Path]) -> None:
    path, folder = captioned
    checked = [f"sentence {n}" for n in range(6)]
    videos = [read_features(folder / f"v{n}.feat") for n in range(6)]
    renamed = replace(videos[1], video="another name")
    upper = [sentence.upper() for sentence in checked]
    samples = samples_from_captions(
        path, folder, lambda s: words(s.lower()), width=4, checked_sentences=upper, checked_videos=[videos[0], renamed]
    )
    assert len(samples.features) == 4 * 60 and len(samples.token_ids) == 12
    assert not {tuple(words(s)) for s in checked} & {tuple(row) for row in samples.token_ids}
    assert samples.source == "captions.jsonl"
    with pytest.raises(DataError, match="the gate checks every"):
        samples_from_captions(path, folder, words, width=4, checked_videos=videos)


def test_missing_or_foreign_features_are_named(captioned: tuple[Path, Path]) -> None:
    path, folder = captioned
    with pytest.raises(FeatureError, match="expected 5"):
        samples_from_captions(path, folder, words, width=5)
    (folder / "v3.feat").unlink()
    with pytest.raises(FeatureError, match=r"v3\.feat: no such file"):
        samples_from_captions(path, folder, words, width=4)
