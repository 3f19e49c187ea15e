"""The same scorer trained WITH spans: what the features and the model could reach. A yardstick, never shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class SpanObjective:
    """Cross entropy of every snippet: inside its sentence's spans or not, and outside for the sentences of other videos.

    Attributes:
        inside: per caption (T,) share of each snippet inside the spans.
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
    """Per caption (T,) the share of each snippet that lies inside the spans of its annotation (found by qid)."""
    spans = {annotation.qid: annotation.windows_s for annotation in annotations}
    lengths = [len(values) for values in data.values]
    shares = []
    for caption, video in zip(data.captions, data.video_of.tolist(), strict=True):
        starts = torch.arange(lengths[video]) * data.snippet_s
        inside = torch.zeros(len(starts))
        for start_s, end_s in spans[caption.qid]:
            covered = (starts + data.snippet_s).clamp_max(end_s) - starts.clamp_min(start_s)
            inside = torch.maximum(inside, (covered / data.snippet_s).clamp_min(0))
        shares.append(inside)
    return shares
