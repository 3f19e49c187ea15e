"""The same scorer trained WITH spans: what the features and the model could reach. A yardstick, never shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wsra.runtime.annotations import Annotation
from wsra.train.config import Sampling
from wsra.train.data import Batch, CaptionedVideos
from wsra.train.model import Scorer
from wsra.train.objective import own_and_other_logits
from wsra.train.pairs import batch_keys
from wsra.train.sampling import choose_negatives, rank_batch
from wsra.train.stored import StoredFeatures


@dataclass(frozen=True)
class SpanObjective:
    """Cross entropy of every snippet: inside its sentence's spans or not, and outside for the sentences of other videos.

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

    A row is a snippet, or what the run sees instead: a pooled window, or one of the equal runs of a long video.

    Raises:
        TypeError: the features are not on disk, where their times are.
    """
    stored = data.values
    if not isinstance(stored, StoredFeatures):
        raise TypeError(f"features of type {type(stored).__name__} have no times; expected StoredFeatures")
    spans = {annotation.qid: annotation.windows_s for annotation in annotations}
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
