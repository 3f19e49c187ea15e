"""The same scorer trained WITH spans: what the features and the model could reach. A yardstick, never shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.features import Features
from wsra.runtime.spans.moments import best_iou
from wsra.train.config import Sampling
from wsra.train.data import Batch, CaptionedVideos
from wsra.train.model import Scorer
from wsra.train.objective import own_and_other_logits
from wsra.train.pairs import batch_keys
from wsra.train.sampling import choose_negatives, rank_batch
from wsra.train.stored import StoredFeatures

SAME_LIFE = 0.5  # IoU of a track's life with a true span from which its rows are of what the sentence says


@dataclass(frozen=True)
class SpanObjective:
    """Cross entropy of every row: inside its sentence's spans or not, and outside for the sentences of other videos.

    Attributes:
        inside: per caption (T,) share of each row inside the spans.
        sampling: of negatives.
    """

    inside: Sequence[Tensor]
    sampling: Sampling

    def __call__(self, scorer: Scorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
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


def shares_inside(data: CaptionedVideos, annotations: Sequence[Annotation]) -> list[Tensor]:
    """Per caption (T,) the share of each row of its video that lies inside the spans of its annotation (found by qid).

    A row is a snippet, or what the run sees instead: a pooled window, or one of the equal runs of a long video. A row of an object is
    inside, wholly, where the life of its track has an IoU of 0.5 or more with one of the spans, and else outside.

    Raises:
        TypeError: the features are not on disk, where their times are.
    """
    stored = data.values
    if not isinstance(stored, StoredFeatures):
        raise TypeError(f"features of type {type(stored).__name__} have no times; expected StoredFeatures")
    spans = {annotation.qid: annotation.windows_s for annotation in annotations}
    if data.of_objects:
        return _lives_inside(data, stored, [np.array(spans[caption.qid]).reshape(-1, 2) for caption in data.captions])
    placed = [stored.places(video) for video in range(len(stored))]
    shares = []
    for caption, video in zip(data.captions, data.video_of.tolist(), strict=True):
        timeline, rows = placed[video]
        inside, upto = np.zeros(len(rows)), 0.0
        for start, end in sorted(timeline.positions(np.array(spans[caption.qid]).reshape(-1, 2)).tolist()):
            start, upto = max(start, upto), max(end, upto)  # what an earlier span covers counts once
            inside += np.maximum(np.minimum(rows[:, 1], upto) - np.maximum(rows[:, 0], start), 0)
        shares.append(torch.from_numpy(inside / (rows[:, 1] - rows[:, 0])).float())
    return shares


def _lives_inside(data: CaptionedVideos, stored: StoredFeatures, spans: Sequence[NDArray[np.float64]]) -> list[Tensor]:
    """Per caption (T,) 1 for the rows of tracks that live as long as one of its spans (M, 2), 0 for the others."""
    videos = [stored.features(video) for video in range(len(stored))]
    seen = [stored.tracks_seen(features) for features in videos]
    return [
        torch.from_numpy(_inside(videos[video], truth)[seen[video]]) for truth, video in zip(spans, data.video_of.tolist(), strict=True)
    ]


def _inside(features: Features, truth: NDArray[np.float64]) -> NDArray[np.float32]:
    """Per track whether its life is one of the true spans (M, 2); one more at the end, for the row of no track."""
    lives_s = features.tracks.lives_s if features.tracks is not None else np.zeros((0, 2))
    return np.append(best_iou(lives_s, truth) >= SAME_LIFE, False).astype(np.float32)
