"""Calibrate presence on captioned validation videos: a video's own captions are true of it, captions of other videos are not."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wsra.calib.presence import fit_presence
from wsra.export.graphs import AnyScorer
from wsra.runtime.formats.features import Features
from wsra.runtime.formats.presence import Presence, Source
from wsra.runtime.grounding.grounder import Grounder

KEYS = 1024  # reference keys
PAIRS = 4_096  # pairs of a video and a sentence that is not true of it, at most
ALIKE = 0.45  # likeness from which a sentence of another video may be true of this one, too: docs/measurements/presence.md
UNFITTED = Presence("captions", hours=1.0, slope=1.0, intercept=0.0, scores=[0.0, 1.0], rates=[2.0, 1.0], tail=1.0)  # until it is fitted


@torch.no_grad()
def reference_keys(scorer: AnyScorer, videos: Sequence[Features], *, seed: int = 0) -> NDArray[np.float16]:
    """Keys (N, H) of at most `KEYS` rows, drawn evenly from all rows of the videos."""
    counts = np.array([len(video) for video in videos])
    drawn = np.sort(np.random.default_rng(seed).permutation(int(counts.sum()))[:KEYS])
    first = np.cumsum(counts) - counts
    rows = [
        video.rows(0, len(video))[drawn[(drawn >= start) & (drawn < start + len(video))] - start]
        for video, start in zip(videos, first, strict=True)
    ]
    keys: NDArray[np.float16] = scorer.keys(torch.from_numpy(np.concatenate(rows).astype(np.float32))).numpy().astype(np.float16)
    return keys


def presence_of(
    reference: Grounder,
    videos: Sequence[Features],
    video_of: NDArray[np.int64],
    sentences: Sequence[str],
    text: NDArray[np.float32],
    *,
    source: Source = "captions",
    seed: int = 0,
) -> Presence:
    """Calibrate presence.

    Args:
        reference: the bundle in PyTorch.
        videos: of validation.
        video_of: (Q,) the video of each caption.
        sentences: the captions.
        text: (Q, Dt) their vectors.
        source: what to call them.
        seed: random seed of the choice of captions of other videos.

    Raises:
        DataError: there are too few captions or videos, or the scorer does not discriminate.
    """
    rng, each = np.random.default_rng(seed), max(1, PAIRS // len(videos))
    directions = directions_of(text)
    true: list[float] = []
    false: list[float] = []
    hours = 0.0
    for number, video in enumerate(videos):
        own = np.flatnonzero(video_of == number)
        absent = np.flatnonzero((directions @ directions[own].T).max(axis=1, initial=-1.0) < ALIKE)
        absent = rng.permutation(absent)[:each]
        for scores in _presence_scores(reference, video, sentences, text, own):
            true.append(max(scores, default=-np.inf))
        for scores in _presence_scores(reference, video, sentences, text, absent):
            false += scores
        hours += len(absent) * video.duration_s / 3600
    return fit_presence(true, false, hours, source=source)


def directions_of(text: NDArray[np.float32]) -> NDArray[np.float64]:
    """Unit vectors of sentences about the mean of all different ones, for some encoders put all sentences near each other."""
    centred = text.astype(np.float64) - np.unique(text, axis=0).mean(axis=0, dtype=np.float64)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))


def _presence_scores(
    reference: Grounder, video: Features, sentences: Sequence[str], text: NDArray[np.float32], chosen: NDArray[np.int64]
) -> list[list[float]]:
    """Presence scores of all candidates of each chosen sentence."""
    if len(chosen) == 0:
        return []
    asked = [sentences[number] for number in chosen]
    answers = reference.answers_to_vectors(video, asked, text[chosen], top_k=sys.maxsize, false_alarms=np.inf)
    return [[moment.presence for moment in answer.moments] for answer in answers]
