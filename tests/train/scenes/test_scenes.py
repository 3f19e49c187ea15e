from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from wsra.runtime.formats.annotations import read_annotations, read_captions
from wsra.runtime.video.frames import Video
from wsra.train.scenes.demo.actors import position
from wsra.train.scenes.demo.backdrop import TEST_STYLES, TRAIN_STYLES
from wsra.train.scenes.demo.render import FPS, HEIGHT_PX, WIDTH_PX, Sizes, caption_clip, frames, plan, render_scenes, visible_span
from wsra.train.scenes.demo.wording import DemoSentence
from wsra.train.scenes.demo.world import JITTER, KINDS, PALETTE, UNSEEN, Clip, sample_clip

SIZES = Sizes(120, 12, 120)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return plan(SIZES, 3)


def of(clips: list[Clip], *splits: str) -> list[Clip]:
    return [clip for clip in clips if clip.split in splits]


def test_clips_are_as_long_and_as_full_as_promised(clips: list[Clip]) -> None:
    assert all(20 <= clip.duration_s <= 60 and 1 <= len(clip.actors) <= 4 for clip in clips)
    assert {len(clip.actors) for clip in clips} == {1, 2, 3, 4}
    assert {actor.kind for clip in clips for actor in clip.actors} == set(KINDS)
    overlapping = [any(a.start_s < b.end_s and b.start_s < a.end_s for a, b in itertools.combinations(clip.actors, 2)) for clip in clips]
    assert 0.15 < np.mean(overlapping) < 0.85


def test_some_pairs_occur_in_the_test_split_only(clips: list[Clip]) -> None:
    def looks(*splits: str) -> set[tuple[str, str]]:
        return {(actor.kind, actor.colour) for clip in of(clips, *splits) for actor in clip.actors}

    assert not looks("train", "val") & UNSEEN
    assert len(looks("test") & UNSEEN) >= 8
    kinds, colours = {kind for kind, _ in UNSEEN}, {colour for _, colour in UNSEEN}
    assert kinds <= {kind for kind, _ in looks("train")} and colours <= {colour for _, colour in looks("train")} | {"brown"}


def test_test_clips_differ_from_training_in_palette_size_and_path(clips: list[Clip]) -> None:
    for colour, shades in PALETTE.items():
        for train, test in itertools.product(shades["train"], shades["test"]):
            hue = abs((train[0] - test[0] + 90) % 180 - 90)
            vivid = 2 * JITTER if min(train[1], test[1]) > 40 else 0
            assert hue > 2 or abs(train[1] - test[1]) > vivid > 0 or abs(train[2] - test[2]) > 2 * JITTER, (colour, train, test)
    assert not set(TRAIN_STYLES) & set(TEST_STYLES)
    builds = {split: [a.build[0] for c in of(clips, split) for a in c.actors] for split in ("train", "test")}
    assert max(builds["test"]) > max(builds["train"]) and min(builds["test"]) < min(builds["train"])
    drift = {split: max(abs(a.path[2][0] - a.path[2][3]) for c in of(clips, split) for a in c.actors) for split in ("train", "test")}
    assert drift["test"] > drift["train"] + 0.02


def test_test_queries_are_true_of_one_event_and_need_more_than_one_word(clips: list[Clip]) -> None:
    rows = [(clip, row) for clip in of(clips, "test") for row in caption_clip(clip)]
    assert all(len(row["relevant_windows"]) == 1 for _, row in rows)
    share = np.mean([row["conjunction"] for _, row in rows])
    assert share >= 0.4
    for clip, row in rows:
        if row["conjunction"]:
            for attribute in ("kind", "colour"):
                alone = DemoSentence("", {attribute: row["mentions"][attribute]})
                assert sum(alone.is_true_of(actor) for actor in clip.actors) > 1
    assert 0.08 < np.mean([row["unseen"] for _, row in rows]) < 0.4


def test_every_test_clip_has_two_described_events_apart_in_time(clips: list[Clip]) -> None:
    for clip in of(clips, "test"):
        spans = [tuple(row["relevant_windows"][0]) for row in caption_clip(clip)]
        assert any(a[1] <= b[0] or b[1] <= a[0] for a, b in itertools.combinations(set(spans), 2)), clip.name


def test_some_wordings_occur_in_the_test_split_only(clips: list[Clip]) -> None:
    def bare(split: str) -> set[str]:
        words = {actor.colour for clip in clips for actor in clip.actors} | {actor.lower for clip in clips for actor in clip.actors}
        return {
            " ".join("_" if word.strip(",") in words or word in KINDS else word for word in row["query"].split())
            for clip in of(clips, split)
            for row in caption_clip(clip)
        }

    train, test = bare("train"), bare("test")
    assert len(test - train) >= 8 and "_ in _ shirt" in test - train


def test_spans_are_when_the_actor_is_in_the_frame(clips: list[Clip]) -> None:
    for clip in clips[:40]:
        for actor in clip.actors:
            start, end = visible_span(clip, actor)
            assert actor.start_s - 0.2 <= start < end <= actor.end_s + 0.2
            assert -0.4 < position(actor, (start + end) / 2)[0] < 1.4


def test_the_seed_decides_everything_and_a_larger_set_begins_alike() -> None:
    assert plan(Sizes(3, 1, 2), 5) == plan(Sizes(3, 1, 2), 5) != plan(Sizes(3, 1, 2), 6)
    larger = {clip.name: clip for clip in plan(Sizes(9, 4, 5), 5)}
    assert all(larger[clip.name] == clip for clip in plan(Sizes(3, 1, 2), 5))
    clip = sample_clip("a", "train", 1)
    digests = [hashlib.sha256(b"".join(f.tobytes() for f in itertools.islice(frames(clip), 8))).hexdigest() for _ in range(2)]
    assert digests[0] == digests[1]


def test_the_light_and_the_noise_change_from_frame_to_frame() -> None:
    first, second = (f.astype(int) for f in itertools.islice(frames(sample_clip("a", "train", 1)), 2))
    assert 1 < np.abs(first - second).mean() < 12


def test_files_are_real_h264_with_captions_without_times_and_spans_apart(tmp_path: Path) -> None:
    names = list(render_scenes(tmp_path, Sizes(2, 1, 1), seed=1, jobs=2))
    assert sorted(names) == ["test-0000", "train-0000", "train-0001", "val-0000"]
    for clip in plan(Sizes(2, 1, 1), 1):
        with Video(tmp_path / "videos" / f"{clip.name}.mp4", height_px=999, frames_per_s=99) as video:
            images = [frame.image for frame in video.frames()]
        assert len(images) == int(clip.duration_s * FPS) and images[0].shape == (HEIGHT_PX, WIDTH_PX, 3)
        assert video._stream.codec_context.name == "h264"
    for split in ("train", "val", "test"):
        for line in (tmp_path / f"captions-{split}.jsonl").read_text().splitlines():
            assert set(json.loads(line)) == {"qid", "query", "vid", "duration"}
        captions, annotations = read_captions(tmp_path / f"captions-{split}.jsonl"), read_annotations(tmp_path / f"spans-{split}.jsonl")
        assert [c.query for c in captions] == [a.query for a in annotations]
    before = (tmp_path / "videos" / "train-0000.mp4").stat().st_mtime_ns
    list(render_scenes(tmp_path, Sizes(2, 1, 1), seed=1, jobs=1))
    assert (tmp_path / "videos" / "train-0000.mp4").stat().st_mtime_ns == before
