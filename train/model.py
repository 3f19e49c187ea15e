"""The scorer: phi(v, t) = sigmoid(w . relu(Wv v + Wt t + b) + c), Section 3.1 of the WSRA paper with one hidden layer.

The paper prints Sigmoid(FC(Cat(v, t))). A single layer is additive in v and t, so every sentence would rank the snippets of a video
alike; hence the hidden layer. Its first layer is split by input, so that the keys (the video's part) are computed once per video.

Shapes: B videos, T snippets or windows, Q sentences, H hidden width, Dv and Dt widths of features and text vectors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Scorer(nn.Module):
    """The trained model of wsra.

    Args (constructor):
        feature_width: Dv.
        text_width: Dt.
        key_width: H.
    """

    feature_mean: Tensor
    feature_scale: Tensor
    text_mean: Tensor
    text_scale: Tensor

    def __init__(self, feature_width: int, text_width: int, key_width: int) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(feature_width))
        self.register_buffer("feature_scale", torch.ones(feature_width))
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("text_scale", torch.ones(1))
        self.video = nn.Linear(feature_width, key_width, bias=False)
        self.text = nn.Linear(text_width, key_width)
        self.out = nn.Linear(key_width, 1)
        nn.init.kaiming_uniform_(self.video.weight, a=math.sqrt(5))

    @property
    def feature_width(self) -> int:
        """Dv."""
        return self.video.in_features

    @property
    def text_width(self) -> int:
        """Dt."""
        return self.text.in_features

    @property
    def key_width(self) -> int:
        """H."""
        return self.video.out_features

    def normalise(self, mean: Tensor, spread: Tensor) -> None:
        """Set mean and standard deviation (Dv) of the training features; constant features are not scaled."""
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(torch.where(spread > 1e-4, 1.0 / spread.clamp_min(1e-4), torch.ones_like(spread)))

    def normalise_text(self, text: Tensor) -> None:
        """Set the mean of the training sentences' vectors (captions, Dt) and one common scale, so that any text encoder fits."""
        mean = text.mean(dim=0)
        self.text_mean.copy_(mean)
        self.text_scale.copy_(1.0 / (text - mean).pow(2).mean().sqrt().clamp_min(1e-6))

    def keys(self, features: Tensor) -> Tensor:
        """Map features (..., Dv) to keys (..., H); affine, so the key of a mean is the mean of the keys."""
        keys: Tensor = self.video((features - self.feature_mean) * self.feature_scale)
        return keys

    def sentences(self, text: Tensor) -> Tensor:
        """Map text vectors (..., Dt) to the sentence's part (..., H) of the hidden layer."""
        sentences: Tensor = self.text((text - self.text_mean) * self.text_scale)
        return sentences

    def logits(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logit of phi.

        Args:
            keys: (..., H).
            text: (..., Dt), broadcast against the leading axes of `keys`.

        Returns:
            Logits with the broadcast leading shape.
        """
        hidden = torch.relu(keys + self.sentences(text))
        logits: Tensor = self.out(hidden).squeeze(-1)
        return logits

    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (Q, N) of every key (N, H) for every sentence (Q, Dt)."""
        return self.logits(keys[None], text[:, None])

    def phi(self, keys: Tensor, text: Tensor) -> Tensor:
        """Phi in (0, 1); shapes as in `logits`."""
        return torch.sigmoid(self.logits(keys, text))
