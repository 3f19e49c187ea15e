"""What training, checkpoints and export need from a scorer: keys of features, and logits of keys for sentences.

`wsra.train.model.Scorer` is wsra's own; `wsra.train.custom` wraps one of the user's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class BaseScorer(nn.Module, ABC):
    """A scorer that knows mean and scale of its features and sentences.

    Args (constructor):
        feature_width: Dv.
        text_width: Dt.
    """

    feature_mean: Tensor
    feature_scale: Tensor
    text_mean: Tensor
    text_scale: Tensor

    def __init__(self, feature_width: int, text_width: int) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(feature_width))
        self.register_buffer("feature_scale", torch.ones(feature_width))
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("text_scale", torch.ones(1))

    @property
    def feature_width(self) -> int:
        """Dv."""
        return len(self.feature_mean)

    @property
    def text_width(self) -> int:
        """Dt."""
        return len(self.text_mean)

    @property
    @abstractmethod
    def key_width(self) -> int:
        """H."""

    def normalise(self, mean: Tensor, spread: Tensor) -> None:
        """Set mean and standard deviation (Dv) of the training features; constant features are not scaled."""
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(torch.where(spread > 1e-4, 1.0 / spread.clamp_min(1e-4), torch.ones_like(spread)))

    def normalise_text(self, text: Tensor) -> None:
        """Set the mean of the training sentences' vectors (captions, Dt) and one common scale, so that any text encoder fits."""
        mean = text.mean(dim=0)
        self.text_mean.copy_(mean)
        self.text_scale.copy_(1.0 / (text - mean).pow(2).mean().sqrt().clamp_min(1e-6))

    @abstractmethod
    def keys(self, features: Tensor) -> Tensor:
        """Map features (..., Dv) to keys (..., H)."""

    @abstractmethod
    def logits(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logit of phi.

        Args:
            keys: (..., H).
            text: (..., Dt), broadcast against the leading axes of `keys`.

        Returns:
            Logits with the broadcast leading shape.
        """

    @abstractmethod
    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (Q, N) of every key (N, H) for every sentence (Q, Dt)."""

    def phi(self, keys: Tensor, text: Tensor) -> Tensor:
        """Phi in (0, 1); shapes as in `logits`."""
        return torch.sigmoid(self.logits(keys, text))
