"""The scorer over a batch, as training computes it: keys, and logits of every snippet of a video for several sentences.

The direct way, relu(key + sentence) . w in whole tensors, moves B x Q x T x H numbers through memory four times, and again in the
backward pass. Here the work is split into pieces that fit a processor's cache and are recomputed in the backward pass, so that only
features and keys are kept.

Shapes: B videos, Q sentences for each, T snippets, D feature width, H key width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wsra.train.base_scorer import BaseScorer
from wsra.train.model import Scorer

# Numbers in a piece: half a megabyte for a core's cache; more on a GPU, since every piece takes several kernel launches.
PIECE_CPU, PIECE_GPU = 1 << 17, 1 << 27


def _runs(values: Tensor) -> Iterator[slice]:
    """Slices of the rows of (N, D)."""
    step = max(1, PIECE_CPU // values.shape[1])
    for start in range(0, len(values), step):
        yield slice(start, start + step)


class _Keys(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, mean: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(values, mean, scale)
        keys = values.new_empty(len(values), len(weight))
        for rows in _runs(values):
            torch.mm((values[rows] - mean).mul_(scale), weight.T, out=keys[rows])
        return keys

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor]:
        values, mean, scale = ctx.saved_tensors
        to_weight = values.new_zeros(grads[0].shape[1], values.shape[1])
        for rows in _runs(values):
            to_weight.addmm_(grads[0][rows].T, (values[rows] - mean).mul_(scale))
        return None, None, None, to_weight


def batch_keys(scorer: BaseScorer, values: Tensor) -> Tensor:
    """`scorer.keys(values)` up to rounding, with a gradient for the weights only; of a user's own scorer by plain autograd.

    Args:
        scorer: the model.
        values: (B, T, D).

    Returns:
        (B, T, H).
    """
    if not isinstance(scorer, Scorer) or values.device.type != "cpu":
        return scorer.keys(values)  # on a GPU a normalised copy costs little, and the product may be in bfloat16
    keys: Tensor = _Keys.apply(values.flatten(0, 1), scorer.feature_mean, scorer.feature_scale, scorer.video.weight)  # type: ignore[no-untyped-call]
    return keys.view(*values.shape[:2], -1)


def _pieces(keys: Tensor, sentences: int) -> Iterator[tuple[slice, slice]]:
    """Slices of videos, and of snippets if one video is too large."""
    videos, snippets, width = keys.shape
    room = max(1, (PIECE_CPU if keys.device.type == "cpu" else PIECE_GPU) // (sentences * width))
    step, run = max(1, room // snippets), min(snippets, room)
    for start in range(0, videos, step):
        for first in range(0, snippets, run):
            yield slice(start, start + step), slice(first, first + run)


class _PairLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keys: Tensor, sentences: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(keys, sentences, weight)
        logits = keys.new_empty(keys.shape[0], sentences.shape[1], keys.shape[1])
        for b, t in _pieces(keys, sentences.shape[1]):
            logits[b, :, t] = (keys[b, None, t] + sentences[b, :, None]).relu_() @ weight
        return logits

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys, sentences, weight = ctx.saved_tensors
        (grad,) = grads
        to_keys, to_sentences, to_weight = torch.empty_like(keys), torch.zeros_like(sentences), torch.zeros_like(weight)
        for b, t in _pieces(keys, sentences.shape[1]):
            hidden = (keys[b, None, t] + sentences[b, :, None]).relu_()  # (b, Q, t, H)
            piece = grad[b, :, t]  # (b, Q, t)
            to_weight += piece.reshape(-1) @ hidden.flatten(0, 2)
            active = hidden.sign_()
            to_sentences[b] += (piece[:, :, None] @ active).squeeze(2)
            to_keys[b, t] = active.mul_(piece[..., None]).sum(dim=1)
        return to_keys.mul_(weight), to_sentences.mul_(weight), to_weight


def pair_logits(scorer: BaseScorer, keys: Tensor, text: Tensor) -> Tensor:
    """Logits of phi, with gradients, equal to `scorer.logits(keys[:, None], text[:, :, None])` up to rounding.

    They are in float32, also where keys are in bfloat16, and in float64 where keys are; of a user's own scorer by plain autograd.

    Args:
        scorer: the model.
        keys: (B, T, H).
        text: (B, Q, Dt) sentences for each video.

    Returns:
        (B, Q, T).
    """
    precise = torch.promote_types(keys.dtype, torch.float32)
    if not isinstance(scorer, Scorer):
        with torch.autocast(keys.device.type, enabled=False):
            return scorer.matrix(keys.to(precise), text)
    sentences, directions = scorer.sentences(text), scorer.directions(text)
    with torch.autocast(keys.device.type, enabled=False):
        keys = keys.to(precise)
        logits: Tensor = _PairLogits.apply(keys, sentences.to(precise), scorer.out.weight[0])  # type: ignore[no-untyped-call]
        cosines = directions.to(precise) @ F.normalize(keys, dim=-1).transpose(1, 2)  # times the gain
        return logits + scorer.out.bias + cosines
