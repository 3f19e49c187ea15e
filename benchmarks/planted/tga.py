"""Text-guided attention (Mithun, Paul, Roy-Chowdhury, CVPR 2019): the weakly supervised baseline. It is never shipped.

Sentence and snippets are mapped linearly into one space; attention over snippets is the softmax of their cosines with the sentence, and
a ranking loss in both directions compares the pooled video with the sentences of the batch. The two linear maps are those of the Scorer,
so that training, checkpoints and sizes are the same; its output layer is not used.

Shapes: B pairs, T snippets, N snippets or windows, Q sentences, H key width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wsra.train.data import Batch
from wsra.train.losses import attention, pool, ranking_loss
from wsra.train.model import Scorer


def text_keys(scorer: Scorer, text: Tensor) -> Tensor:
    """Map sentences (..., Dt) into the space of the keys (..., H)."""
    mapped: Tensor = scorer.text((text - scorer.text_mean) * scorer.text_scale)
    return mapped


def cosines(scorer: Scorer, keys: Tensor, text: Tensor) -> Tensor:
    """Cosine (Q, N) of every key (N, H) with every sentence (Q, Dt), by which windows are ranked."""
    return F.normalize(text_keys(scorer, text), dim=-1) @ F.normalize(keys, dim=-1).T


@dataclass(frozen=True)
class TextGuidedObjective:
    """The ranking loss of text-guided attention, from captions alone.

    Attributes:
        margin: m.
        temperature: of the softmax over cosines; 1 is the paper.
        draws: negatives drawn per pair; 0 means the whole batch, as in the paper.
    """

    margin: float
    temperature: float
    draws: int = 0

    def __call__(self, scorer: Scorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss and figures of one batch."""
        keys, sentences = scorer.keys(batch.values), F.normalize(text_keys(scorer, batch.text), dim=-1)
        alike = torch.einsum("bth,bh->bt", F.normalize(keys, dim=-1), sentences)
        alpha = attention(alike, batch.mask, temperature=self.temperature)
        videos = F.normalize(pool(keys, alpha, batch.mask).foreground, dim=-1)
        similarity = videos @ sentences.T  # (B, B)
        own = batch.videos[:, None] == batch.videos[None, :]
        left_out = own
        if self.draws:
            chance = torch.rand(own.shape, generator=generator).to(own.device).masked_fill(own, 2.0)
            left_out = own | (chance.argsort(dim=1).argsort(dim=1) >= self.draws)
        loss = ranking_loss(similarity, left_out, margin=self.margin)
        better = (similarity.diagonal()[:, None] > similarity)[~own]
        return loss, {"loss": float(loss.detach()), "match": 100 * float(better.float().mean())}
