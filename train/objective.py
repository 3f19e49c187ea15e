"""The training objective: the weighted losses of Eq. 11 over a batch of captioned videos, and figures to monitor.

Shapes: B pairs, T snippets, n negatives, Dv, Dt, H as in train/model.py. No B x n x T x H tensor is ever held in memory (train/pairs.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wsra.runtime.errors import ConfigError
from wsra.train.base_scorer import BaseScorer
from wsra.train.config import Loss, Sampling
from wsra.train.data import Batch
from wsra.train.losses import (
    association_loss,
    attention,
    background_loss,
    cross_video_loss,
    instance_contrast,
    instance_loss,
    open_gates,
    pool,
    ranking_loss,
    similar_video,
    soft_best,
    video_contrast,
)
from wsra.train.model import Scorer
from wsra.train.pairs import batch_keys, pair_logits
from wsra.train.sampling import choose_negatives, rank_batch

# (scorer, batch, generator) -> (loss to minimise, figures to average over the epoch). Any: an objective may be made for one kind of scorer.
Objective = Callable[[Any, Batch, torch.Generator], tuple[Tensor, dict[str, float]]]


def own_and_other_logits(scorer: BaseScorer, keys: Tensor, text: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of each video's snippets for its own sentence and for each of its negatives.

    Args:
        scorer: the model.
        keys: (B, T, H).
        text: (B, Dt).
        negatives: (B, n) indices into the batch.

    Returns:
        (B, T) and (n, B, T).
    """
    everything = pair_logits(scorer, keys, torch.cat([text[:, None], text[negatives]], dim=1))  # (B, 1 + n, T)
    return everything[:, 0], everything[:, 1:].transpose(0, 1)


@dataclass(frozen=True)
class CaptionObjective:
    """Eq. 11 from captions alone.

    Attributes:
        loss: weights and parameters of the losses.
        sampling: how negatives are chosen.
    """

    loss: Loss
    sampling: Sampling

    def __call__(self, scorer: BaseScorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss and figures of one batch."""
        weights, mask, text = self.loss, batch.mask, batch.text
        ranked = rank_batch(text, batch.videos, first=self.sampling.first, last=self.sampling.last)
        negatives = choose_negatives(ranked, self.sampling, generator)
        keys = batch_keys(scorer, batch.values)
        own, other = own_and_other_logits(scorer, keys, text, negatives)  # (B, T), (n, B, T)
        own_phi, other_phi = torch.sigmoid(own), torch.sigmoid(other)
        alpha = attention(own_phi, mask, temperature=weights.temperature)
        other_alpha = attention(other_phi, mask, temperature=weights.temperature)

        pooled = pool(keys, alpha, mask)
        foreground_phi = scorer.phi(pooled.foreground, text)  # (B,)
        background_phi = scorer.phi(pooled.background, text)
        other_foreground_phi = scorer.phi(pooled.foreground[:, None], text[negatives])  # (B, n)
        has_background = mask.sum(dim=1) > 1
        suits = soft_best(own, other, mask, temperature=weights.contrast_temperature)  # (B, 1 + n)
        gate = open_gates(ranked.similarity, threshold=weights.gate, quantile=weights.gate_quantile)

        losses = {
            "background": background_loss(
                foreground_phi[has_background],
                background_phi[has_background],
                gamma=weights.gamma,
                margin=weights.margin,
            ),
            "association": association_loss(foreground_phi, other_foreground_phi, margin=weights.margin),
            "instance": instance_loss(
                alpha * own_phi, other_alpha * other_phi, mask, margin=weights.margin, scaled=weights.instance_scaled
            ),
            "cross_video": self._cross_video(scorer, batch, keys, alpha, ranked.nearest, gate),
            "contrast": instance_contrast(suits),
            "contrast_videos": video_contrast(suits, negatives),
        }
        if weights.ranking > 0:
            losses["ranking"] = self._ranking(scorer, batch, keys)
        shares = {name: getattr(weights, name) for name in losses}
        if weights.background_after:
            shares["background"] *= max(0.0, 1 - float(losses["association"].detach()) / weights.margin)
        total = torch.stack([shares[name] * value for name, value in losses.items()]).sum()
        best, other_best = (x.masked_fill(~mask, -torch.inf).amax(dim=-1) for x in (own, other))  # (B,), (n, B)
        entropy = -(alpha * alpha.clamp_min(1e-12).log()).sum(dim=1)
        figures = {name: float(value.detach()) for name, value in losses.items()}
        figures |= {
            "loss": float(total.detach()),
            "match": 100 * float((best > other_best).float().mean()),
            "attended": 100 * float((entropy.detach().exp() / mask.sum(dim=1)).mean()),
            "open_gates": 100 * float(gate.float().mean()),
            "foreground_phi": float(foreground_phi.detach().mean()),
            "background_phi": float(background_phi[has_background].detach().mean()) if has_background.any() else 0.0,
        }
        return total, figures

    def _ranking(self, scorer: BaseScorer, batch: Batch, keys: Tensor) -> Tensor:
        """The ranking loss of text-guided attention over the whole batch, on the cosines of keys and sentences."""
        if not isinstance(scorer, Scorer):
            raise ConfigError("loss.ranking needs the cosine of wsra's own scorer; with training.scorer of your own set it to 0")
        sentences, units = F.normalize(scorer.directions(batch.text), dim=-1), F.normalize(keys, dim=-1)
        alpha = attention((units @ sentences[..., None]).squeeze(-1), batch.mask, temperature=self.loss.ranking_temperature)
        videos = F.normalize(pool(keys, alpha, batch.mask).foreground, dim=-1)
        own = batch.videos[:, None] == batch.videos[None, :]
        return ranking_loss(videos @ sentences.T, own, margin=self.loss.ranking_margin)

    def _cross_video(self, scorer: BaseScorer, batch: Batch, keys: Tensor, alpha: Tensor, nearest: Tensor, gate: Tensor) -> Tensor:
        """Eq. 7 to 10; only pairs with an open gate are computed."""
        if self.loss.cross_video == 0 or not bool(gate.any()):
            return keys.new_zeros(())
        chosen = gate.nonzero().squeeze(1)
        similar = nearest[chosen]
        space, similar_space = (self._space(scorer, batch, keys, rows) for rows in (chosen, similar))
        video = pool(space, alpha[chosen], batch.mask[chosen])
        temperature = self.loss.similar_temperature or self.loss.temperature
        other = similar_video(similar_space, batch.mask[similar], video.foreground, temperature=temperature)
        several = batch.mask[similar].sum(dim=1) > 1
        loss = cross_video_loss(video, other, several, margin=self.loss.margin)
        return loss * (len(chosen) / len(gate))

    def _space(self, scorer: BaseScorer, batch: Batch, keys: Tensor, rows: Tensor) -> Tensor:
        """The space that Eq. 7 to 9 compare, for the pairs in `rows`: keys, or features as they are stored or normalised."""
        if self.loss.cross_video_space == "keys":
            return keys[rows]
        if self.loss.cross_video_space == "raw":
            return batch.values[rows]
        return (batch.values[rows] - scorer.feature_mean) * scorer.feature_scale
