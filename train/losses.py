"""The losses of the WSRA paper, one function each, and two contrastive losses that are not in it.

Shapes: B pairs of a video and its sentence, T snippets (padded; `mask` (B, T) is True for snippets), n negatives, H key width.
phi and alpha are in (0, 1).
All losses return a scalar; where the paper sums over the batch, they take the mean, except Eq. 3, whose sum is inside a logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Pooled:
    """Foreground and background of a video for a sentence: keys or features (B, W)."""

    foreground: Tensor
    background: Tensor


def attention(phi: Tensor, mask: Tensor, *, temperature: float) -> Tensor:
    """Eq. 2: softmax of phi over the true length.

    Args:
        phi: (..., B, T) in (0, 1).
        mask: (B, T) bool.
        temperature: 1 is the paper; phi spans one unit at most, so a long video needs a sharper softmax.

    Returns:
        (..., B, T), 0 where masked, summing to 1 over T.
    """
    return torch.softmax((phi / temperature).masked_fill(~mask, -torch.inf), dim=-1)


def pool(values: Tensor, alpha: Tensor, mask: Tensor) -> Pooled:
    """Eq. 1: v_f = sum_t alpha_t v_t and v_b = sum_t (1 - alpha_t) v_t / (T - 1).

    With T = 1 there is no background; v_b is then 0 / 1, and losses that need one leave the pair out.

    Args:
        values: (B, T, W).
        alpha: (B, T).
        mask: (B, T) bool.
    """
    weights = mask.to(alpha.dtype)
    others = (weights.sum(dim=1) - 1).clamp_min(1)  # (B,)
    both = torch.stack([alpha, (weights - alpha) / others[:, None]], dim=1) @ values  # (B, 2, W), reading `values` once
    return Pooled(both[:, 0], both[:, 1])


def background_loss(foreground_phi: Tensor, background_phi: Tensor, *, gamma: float, margin: float) -> Tensor:
    """Eq. 3: log(1 + sum_i exp(gamma (s_n - s_p + m))), s_p and s_n (B,) being phi of foreground and background.

    The sum is inside the logarithm, so its scale differs from that of the other losses. The paper's inequality in the text before Eq. 3
    is reversed; its formula is right.
    """
    exponents = gamma * (background_phi - foreground_phi + margin)  # (B,)
    return torch.logsumexp(torch.cat([exponents.new_zeros(1), exponents]), dim=0)


def association_loss(own_phi: Tensor, other_phi: Tensor, *, margin: float) -> Tensor:
    """Eq. 5, video to text: mean of max(0, m + phi(v_f, t-) - phi(v_f, t+)).

    Args:
        own_phi: (B,).
        other_phi: (B, n), of the negatives of top/last-K sampling.
        margin: m.
    """
    return F.relu(margin + other_phi - own_phi[:, None]).mean()


def instance_loss(own: Tensor, other: Tensor, mask: Tensor, *, margin: float, scaled: bool) -> Tensor:
    """Eq. 6, snippet by snippet: max(0, m + alpha- phi(v_t, t-) - alpha+ phi(v_t, t+)).

    As printed it is summed over t, and alpha phi ~ 1/T is compared with m, so the hinge is always active. Scaled, alpha is multiplied by
    T and the mean is taken over t.

    Args:
        own: (B, T) alpha+ phi of the own sentence.
        other: (n, B, T) alpha- phi of each negative.
        mask: (B, T) bool.
        margin: m.
        scaled: False is the paper.
    """
    weights = mask.to(own.dtype)
    length = weights.sum(dim=1, keepdim=True)  # (B, 1)
    scale = length if scaled else torch.ones_like(length)
    hinge = F.relu(margin + scale * (other - own)) * weights
    per_video = hinge.sum(dim=-1) / (length.squeeze(1) if scaled else 1.0)  # (n, B)
    return per_video.mean()


def cross_video_loss(video: Pooled, other: Pooled, gate: Tensor, *, margin: float) -> Tensor:
    """Eq. 9 with its sign corrected: max(0, m - cos(u_f, v_f) + cos(u_b, v_f)), for pairs whose gate (Eq. 10) is open.

    As printed, it would pull the foreground of the similar video towards its background.

    Args:
        video: v of each pair, (B, W).
        other: u of each pair, from `similar_video`, (B, W).
        gate: (B,) bool.
        margin: m.
    """
    near = F.cosine_similarity(other.foreground, video.foreground, dim=-1)
    far = F.cosine_similarity(other.background, video.foreground, dim=-1)
    return (F.relu(margin - near + far) * gate.to(near.dtype)).mean()


def similar_video(values: Tensor, mask: Tensor, foreground: Tensor, *, temperature: float) -> Pooled:
    """Eq. 7 and 8: attention over the most similar other video by cosine to v_f; u_b from what is left, as in Eq. 1.

    Args:
        values: (B, T, W) of the other video of each pair.
        mask: (B, T) bool, of the other video.
        foreground: (B, W) v_f.
        temperature: 1 is the paper.
    """
    # A product and norms: F.cosine_similarity would hold several tensors of the size of `values`.
    unit = F.normalize(foreground, dim=-1, eps=1e-8)
    cosines = (values @ unit[..., None]).squeeze(-1) / torch.linalg.vector_norm(values, dim=-1).clamp_min(1e-8)  # (B, T)
    return pool(values, attention(cosines, mask, temperature=temperature), mask)


def open_gates(similarity: Tensor, *, threshold: float, quantile: float | None) -> Tensor:
    """Eq. 10: whether each pair has a sufficiently similar sentence.

    Args:
        similarity: (B,) cosine of the most similar sentence of another video.
        threshold: tau; 0.9 in the paper.
        quantile: if given, the share of pairs (the most similar) that pass, instead of the threshold.

    Returns:
        (B,) bool.
    """
    level = similarity.new_tensor(threshold) if quantile is None else torch.quantile(similarity, 1 - quantile)
    return similarity > level if quantile is None else similarity >= level


def soft_best(own: Tensor, other: Tensor, mask: Tensor, *, temperature: float) -> Tensor:
    """How well a video's best snippets fit its own sentence and each negative: a soft maximum, minus ln T so that length does not matter.

    Args:
        own: (B, T) logits.
        other: (n, B, T) logits of the negatives.
        mask: (B, T) bool.
        temperature: of the soft maximum over snippets, in logits.

    Returns:
        (B, 1 + n) logits, the own sentence first.
    """
    every = torch.cat([own[None], other]).masked_fill(~mask, -torch.inf)  # (1 + n, B, T)
    length = mask.sum(dim=1).to(own.dtype).log()
    return temperature * (torch.logsumexp(every / temperature, dim=-1) - length).T


def instance_contrast(best: Tensor) -> Tensor:
    """Multiple-instance InfoNCE, not in the paper: cross entropy of a video's own sentence against the negatives.

    Args:
        best: (B, 1 + n) from `soft_best`.
    """
    return F.cross_entropy(best, torch.zeros(len(best), dtype=torch.long, device=best.device))


def video_contrast(best: Tensor, negatives: Tensor) -> Tensor:
    """The same with roles swapped: a sentence's own video against the videos of the batch that have it as a negative.

    Args:
        best: (B, 1 + n) from `soft_best`.
        negatives: (B, n) indices into the batch.
    """
    own = torch.arange(len(best), device=best.device)
    sentences = torch.cat([own[:, None], negatives], dim=1)
    # A repeated negative has one cell, so its gradient must be shared: amax does that, scatter would count it twice.
    between = best.new_full((len(best), len(best)), -torch.inf).scatter_reduce(1, sentences, best, "amax")
    return F.cross_entropy(between.T, own)


def ranking_loss(similarity: Tensor, left_out: Tensor, *, margin: float) -> Tensor:
    """Max-margin ranking loss over a batch in both directions, of text-guided attention (Mithun et al. 2019).

    For every pair i it sums max(0, m - S_ii + S_ij) and max(0, m - S_ii + S_ji) over the negatives j. It takes the mean over the batch;
    that paper takes the sum.

    Args:
        similarity: (B, B) S_ij of video i, pooled for its own sentence, with sentence j.
        left_out: (B, B) bool, True for pairs that are not negatives: the diagonal, further captions of one video, and those not drawn.
        margin: m.
    """
    diagonal = similarity.diagonal()
    sentences = F.relu(margin - diagonal[:, None] + similarity)
    videos = F.relu(margin - diagonal[None, :] + similarity)
    return (sentences + videos).masked_fill(left_out, 0.0).sum() / len(similarity)
