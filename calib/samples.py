"""Calibration data for INT8: a seeded, stratified sample of snippets, or rows of objects, and of sentences.

Shapes: V videos, N snippets, Dv feature width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import DataError
from wsra.runtime.files.names import feat_of
from wsra.runtime.formats.annotations import read_captions
from wsra.runtime.formats.features import Features, read_features

SNIPPETS, SENTENCES = 2048, 256  # sample sizes, if there are that many
FEW_SNIPPETS, FEW_SENTENCES = 256, 64  # fewer give a warning
LEAST_SNIPPETS, LEAST_SENTENCES = 32, 4  # fewer are refused
_BATCH, _IMAGES = 32, 4


@dataclass(frozen=True)
class Samples:
    """The inputs on which ranges are measured.

    Attributes:
        features: (N, Dv) float32.
        token_ids: one row per sentence, shortest first.
        source: name of their origin.
        warnings: reasons to doubt them, one line each.
        images: preprocessed images as a feed of the image encoder, if the bundle has one.
    """

    features: NDArray[np.float32]
    token_ids: list[list[int]]
    source: str
    warnings: list[str]
    images: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over features, token ids and images."""
        digest = hashlib.sha256(self.features.tobytes())
        digest.update(repr(self.token_ids).encode())
        for name, rows in self.images.items():
            digest.update(name.encode() + rows.tobytes())
        return digest.hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Their entry in the manifest."""
        return {
            "source": self.source,
            "sha256": self.digest(),
            "snippets": len(self.features),
            "sentences": len(self.token_ids),
            "warnings": self.warnings,
        }

    def text_batches(self) -> list[dict[str, NDArray[Any]]]:
        """Feeds of the text graph: sentences of equal length together, so that none is padded."""
        batches = []
        for _, group in groupby(self.token_ids, key=len):
            rows = np.array(list(group), np.int64)
            for start in range(0, len(rows), _BATCH):
                ids = rows[start : start + _BATCH]
                batches.append({"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return batches

    def image_batches(self) -> list[dict[str, NDArray[Any]]]:
        """Feeds of the image encoder."""
        return [{name: rows[start : start + _IMAGES]} for name, rows in self.images.items() for start in range(0, len(rows), _IMAGES)]


def samples_from_captions(
    captions_path: Path,
    folder: Path,
    token_ids: Callable[[str], list[int]],
    *,
    width: int,
    checked_sentences: Sequence[str] = (),
    checked_videos: Sequence[Features] = (),
    seed: int = 0,
) -> Samples:
    """Choose samples from captions and the .feat files of their videos, excluding the data of the gate.

    Args:
        captions_path: JSON lines.
        folder: folder of .feat files named by `vid`.
        token_ids: the tokenizer.
        width: Dv.
        checked_sentences: sentences of the gate; sentences with the same tokens are excluded.
        checked_videos: videos of the gate; videos with the same name or the same features are excluded.
        seed: random seed of the sample.

    Raises:
        DataError: too few samples remain, or they cannot be used.
        FeatureError: a .feat file cannot be used.
    """
    captions = read_captions(captions_path)
    checked = {tuple(token_ids(sentence)) for sentence in checked_sentences}
    sentences = {tuple(token_ids(query)) for query in {caption.query for caption in captions}} - checked
    known, numbers = {video.video for video in checked_videos}, {_digest(video) for video in checked_videos}
    names = sorted({caption.vid for caption in captions} - known)
    paths = [feat_of(folder, name, error=DataError, source=captions_path) for name in names]
    videos = [video for video in (read_features(path, width=width) for path in paths) if _digest(video) not in numbers]
    if not sentences or not videos:
        raise DataError(
            f"{captions_path}: the gate checks every sentence or every video in it; calibrate on others, for example on the training"
            " captions"
        )
    return choose_samples(videos, [list(ids) for ids in sorted(sentences)], source=captions_path.name, seed=seed)


def _digest(video: Features) -> str:
    return hashlib.sha256(video.rows(0, len(video)).tobytes()).hexdigest()


def choose_samples(videos: Sequence[Features], token_ids: Sequence[list[int]], *, source: str, seed: int = 0) -> Samples:
    """Choose snippets, or rows of objects, evenly over videos and over the time of each, and sentences evenly over their lengths.

    Args:
        videos: the videos to choose from; some may have no rows.
        token_ids: token ids of the sentences to choose from.
        source: name of their origin, for messages and the manifest.
        seed: random seed of the sample.

    Raises:
        DataError: there are too few samples, or all features are equal.
        FeatureError: a feature is NaN or infinite.
    """
    rng = np.random.default_rng(seed)
    share = max(1, SNIPPETS // max(1, sum(len(video) > 0 for video in videos)))  # a video in which nothing moves has no rows
    chosen = [_one_of_each(len(video), share, rng) for video in videos]
    features = np.concatenate(
        [video.rows(0, len(video))[rows] for video, rows in zip(videos, chosen, strict=True)] or [np.zeros((0, 1), np.float32)]
    )[:SNIPPETS]
    by_length = sorted(token_ids, key=lambda ids: (len(ids), ids))
    sentences = [by_length[i] for i in _one_of_each(len(by_length), SENTENCES, rng)]
    for count, least, what in ((len(features), LEAST_SNIPPETS, "snippets"), (len(sentences), LEAST_SENTENCES, "sentences")):
        if count < least:
            raise DataError(f"{source}: {count} {what} to calibrate on, fewer than {least}; give more with --calib and --features")
    if np.ptp(features, axis=0).max() == 0:
        raise DataError(f"{source}: all {len(features)} snippets have the same features; INT8 ranges need real video: extract again")
    return Samples(features, sentences, source, _doubts(features, sentences, source))


def _one_of_each(count: int, strata: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices below `count`: one at random from each of `strata` equal parts, or all if there are fewer."""
    if count <= strata:
        return np.arange(count)
    edges = np.linspace(0, count, strata + 1)
    return np.minimum((edges[:-1] + rng.random(strata) * np.diff(edges)).astype(np.int64), count - 1)


def _doubts(features: NDArray[np.float32], token_ids: Sequence[list[int]], source: str) -> list[str]:
    doubts = []
    for count, few, what in ((len(features), FEW_SNIPPETS, "snippets"), (len(token_ids), FEW_SENTENCES, "sentences")):
        if count < few:
            doubts.append(f"{source}: only {count} {what} to calibrate on, {few} or more are better")
    constant = int((np.ptp(features, axis=0) == 0).sum())
    if constant:
        doubts.append(f"{source}: {constant} of {features.shape[1]} features never change in the calibration data")
    lengths = {len(ids) for ids in token_ids}
    if len(lengths) == 1:
        doubts.append(f"{source}: every sentence has {lengths.pop()} tokens; other lengths are not calibrated")
    return doubts
