"""Training WITH the spans of the captions: an upper bound for what the same features and scorer learn from captions alone.

Its checkpoints are marked, and `wsra export` refuses them unless it is asked for an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wsra.runtime.formats.annotations import Annotation, read_annotations
from wsra.runtime.formats.features import Features
from wsra.runtime.spans.moments import best_iou
from wsra.train.base_scorer import BaseScorer
from wsra.train.config import Sampling
from wsra.train.data import Batch, CaptionedVideos
from wsra.train.objective import own_and_other_logits
from wsra.train.pairs import batch_keys
from wsra.train.sampling import choose_negatives, rank_batch
from wsra.train.stored import StoredFeatures

SAME_LIFE = 0.5  # least IoU of a track's life with a true span for its rows to count as inside


@dataclass(frozen=True)
class SpanObjective:
    """Cross entropy over rows: inside or outside the sentence's spans, and outside for sentences of other videos.

    Attributes:
        inside: for each caption (T,) the share of each row inside the spans.
        sampling: how negatives are chosen.
    """

    inside: Sequence[Tensor]
    sampling: Sampling

    def __call__(self, scorer: BaseScorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss and figures of one batch."""
        ranked = rank_batch(batch.text, batch.videos, first=self.sampling.first, last=self.sampling.last)
        negatives = choose_negatives(ranked, self.sampling, generator)
        keys = batch_keys(scorer, batch.values)
        own, other = own_and_other_logits(scorer, keys, batch.text, negatives)
        target = torch.nn.utils.rnn.pad_sequence([self.inside[n] for n in batch.numbers.tolist()], batch_first=True).to(own.device)
        own_loss = F.binary_cross_entropy_with_logits(own[batch.mask], target[batch.mask])
        other_loss = F.binary_cross_entropy_with_logits(other[:, batch.mask], torch.zeros_like(other[:, batch.mask]))
        total = own_loss + other_loss
        best, other_best = (x.masked_fill(~batch.mask, -torch.inf).amax(dim=-1) for x in (own, other))
        return total, {"loss": float(total.detach()), "match": 100 * float((best > other_best).float().mean())}


def span_objective(data: CaptionedVideos, path: Path, sampling: Sampling) -> SpanObjective:
    """The objective for captions with their spans.

    Args:
        data: the captions of `path`, with features on disk.
        path: the captions, in any format that has spans. Durations that it lacks are those of the features.
        sampling: how negatives are chosen.

    Raises:
        DataError: a caption has no spans, or they cannot be used.
        TypeError: the features are in memory.
    """
    stored = _stored(data)
    names = {int(video): caption.vid for caption, video in zip(data.captions, data.video_of, strict=True)}
    durations_s = {name: stored.features(video).duration_s for video, name in names.items()}
    return SpanObjective(shares_inside(data, read_annotations(path, durations=durations_s)), sampling)


def _stored(data: CaptionedVideos) -> StoredFeatures:
    if not isinstance(data.values, StoredFeatures):
        raise TypeError(f"features of type {type(data.values).__name__} have no times; expected StoredFeatures")
    return data.values


def shares_inside(data: CaptionedVideos, annotations: Sequence[Annotation]) -> list[Tensor]:
    """For each caption (T,) the share of each row of its video inside the spans of its annotation, which is found by qid.

    A row is a snippet, or what training sees instead: a pooled window, or one of the equal runs of a long video. A row of an object is
    entirely inside if the life of its track has an IoU of 0.5 or more with one of the spans, otherwise outside.

    Raises:
        TypeError: the features are in memory; only those on disk have times.
    """
    stored = _stored(data)
    spans = {annotation.qid: annotation.windows_s for annotation in annotations}
    if data.of_objects:
        return _lives_inside(data, stored, [np.array(spans[caption.qid]).reshape(-1, 2) for caption in data.captions])
    placed = [stored.places(video) for video in range(len(stored))]
    shares = []
    for caption, video in zip(data.captions, data.video_of.tolist(), strict=True):
        timeline, rows = placed[video]
        inside, upto = np.zeros(len(rows)), 0.0
        for start, end in sorted(timeline.positions(np.array(spans[caption.qid]).reshape(-1, 2)).tolist()):
            start, upto = max(start, upto), max(end, upto)  # overlapping spans count once
            inside += np.maximum(np.minimum(rows[:, 1], upto) - np.maximum(rows[:, 0], start), 0)
        shares.append(torch.from_numpy(inside / (rows[:, 1] - rows[:, 0])).float())
    return shares


def _lives_inside(data: CaptionedVideos, stored: StoredFeatures, spans: Sequence[NDArray[np.float64]]) -> list[Tensor]:
    """For each caption (T,) 1 for rows of tracks whose life matches one of its spans (M, 2), 0 for other rows."""
    videos = [stored.features(video) for video in range(len(stored))]
    seen = [stored.tracks_seen(features) for features in videos]
    return [
        torch.from_numpy(_inside(videos[video], truth)[seen[video]]) for truth, video in zip(spans, data.video_of.tolist(), strict=True)
    ]


def _inside(features: Features, truth: NDArray[np.float64]) -> NDArray[np.float32]:
    """For each track whether its life matches a true span (M, 2), and a last entry for the row without a track."""
    lives_s = features.tracks.lives_s if features.tracks is not None else np.zeros((0, 2))
    return np.append(best_iou(lives_s, truth) >= SAME_LIFE, False).astype(np.float32)
