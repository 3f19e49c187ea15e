"""What a batch of captioned videos says about the scorer: the weighted losses of Eq. 11, and what to watch beside them.

Shapes: B pairs, T snippets, n negatives, Dv, Dt, H as in train/model.py. Negatives are scored one after the other and recomputed in the
backward pass, so no B x B x T x H tensor ever stands in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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
    similar_video,
)
from wsra.train.model import Scorer
from wsra.train.sampling import choose_negatives, rank_batch

# (scorer, batch, generator) -> (loss to minimise, figures to average over the epoch)
Objective = Callable[[Scorer, Batch, torch.Generator], tuple[Tensor, dict[str, float]]]


def negative_logits(scorer: Scorer, keys: Tensor, text: Tensor, negatives: Tensor) -> Tensor:
    """Logits of each video's snippets for each of its negatives.

    Args:
        scorer: the model.
        keys: (B, T, H).
        text: (B, Dt).
        negatives: (B, n) indices into the batch.

    Returns:
        (n, B, T).
    """
    rows = [
        checkpoint(scorer.logits, keys, text[negatives[:, j]][:, None], use_reentrant=False)
        if torch.is_grad_enabled()
        else scorer.logits(keys, text[negatives[:, j]][:, None])
        for j in range(negatives.shape[1])
    ]
    return torch.stack(rows)


@dataclass(frozen=True)
class CaptionObjective:
    """Eq. 11 from captions alone.

    Attributes:
        loss: weights and shapes of the losses.
        sampling: of negatives.
    """

    loss: Loss
    sampling: Sampling

    def __call__(self, scorer: Scorer, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Loss and figures of one batch."""
        weights, mask, text = self.loss, batch.mask, batch.text
        ranked = rank_batch(text, batch.videos, first=self.sampling.first, last=self.sampling.last)
        negatives = choose_negatives(ranked, self.sampling, generator)
        keys = scorer.keys(batch.values)
        own = scorer.logits(keys, text[:, None])  # (B, T)
        other = negative_logits(scorer, keys, text, negatives)  # (n, B, T)
        own_phi, other_phi = torch.sigmoid(own), torch.sigmoid(other)
        alpha = attention(own_phi, mask, temperature=weights.temperature)
        other_alpha = attention(other_phi, mask, temperature=weights.temperature)

        pooled = pool(keys, alpha, mask)
        foreground_phi = scorer.phi(pooled.foreground, text)  # (B,)
        background_phi = scorer.phi(pooled.background, text)
        other_foreground_phi = scorer.phi(pooled.foreground[:, None], text[negatives])  # (B, n)
        has_background = mask.sum(dim=1) > 1
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
            "contrast": instance_contrast(own, other, mask, temperature=weights.contrast_temperature),
        }
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

    def _cross_video(self, scorer: Scorer, batch: Batch, keys: Tensor, alpha: Tensor, nearest: Tensor, gate: Tensor) -> Tensor:
        """Eq. 7 to 10; only pairs with an open gate are computed."""
        if self.loss.cross_video == 0 or not bool(gate.any()):
            return keys.new_zeros(())
        in_keys = self.loss.cross_video_space == "keys"
        space = keys if in_keys else (batch.values - scorer.feature_mean) * scorer.feature_scale
        chosen = gate.nonzero().squeeze(1)
        video = pool(space[chosen], alpha[chosen], batch.mask[chosen])
        similar = nearest[chosen]
        temperature = self.loss.temperature
        other = similar_video(space[similar], batch.mask[similar], video.foreground, temperature=temperature)
        several = batch.mask[similar].sum(dim=1) > 1
        loss = cross_video_loss(video, other, several, margin=self.loss.margin)
        return loss * (len(chosen) / len(gate))
