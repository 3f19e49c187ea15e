"""The scorer: phi(v, t) = sigmoid(w . relu(k + Wt t + b) + c + g cos(k, Wd t + d)), with the key k = Wv v.

The first part is Section 3.1 of the WSRA paper with one hidden layer: the paper prints Sigmoid(FC(Cat(v, t))), but a single layer is
additive in v and t, so every sentence would rank the snippets of a video alike. The hidden layer is split by input, so that the keys (the
video's part) are computed once per video. The cosine is not in the paper; it is the score of text-guided attention (Mithun et al. 2019) on
the same keys. The gain g is learned (docs/measurements/learning.md compares both parts).

Shapes: B videos, T snippets or windows, Q sentences, H hidden width, Dv and Dt widths of features and text vectors.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsra.train.base_scorer import BaseScorer

FIRST_GAIN = 10.0  # of the cosine before training, in logits


class Scorer(BaseScorer):
    """The trained model of wsra.

    Args (constructor):
        feature_width: Dv.
        text_width: Dt.
        key_width: H.
    """

    def __init__(self, feature_width: int, text_width: int, key_width: int) -> None:
        super().__init__(feature_width, text_width)
        self.video = nn.Linear(feature_width, key_width, bias=False)
        self.text = nn.Linear(text_width, key_width)
        self.out = nn.Linear(key_width, 1)
        self.direction = nn.Linear(text_width, key_width)
        self.gain = nn.Parameter(torch.tensor([FIRST_GAIN]))
        nn.init.kaiming_uniform_(self.video.weight, a=math.sqrt(5))

    @property
    def key_width(self) -> int:
        """H."""
        return self.video.out_features

    def keys(self, features: Tensor) -> Tensor:
        """Map features (..., Dv) to keys (..., H); affine, so the key of a mean is the mean of the keys."""
        keys: Tensor = self.video((features - self.feature_mean) * self.feature_scale)
        return keys

    def sentences(self, text: Tensor) -> Tensor:
        """Map text vectors (..., Dt) to the sentence's part (..., H) of the hidden layer."""
        sentences: Tensor = self.text((text - self.text_mean) * self.text_scale)
        return sentences

    def directions(self, text: Tensor) -> Tensor:
        """Map text vectors (..., Dt) to what the cosine compares keys with: (..., H), of length `gain`."""
        directions: Tensor = self.direction((text - self.text_mean) * self.text_scale)
        return F.normalize(directions, dim=-1) * self.gain

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
        return logits + (F.normalize(keys, dim=-1) * self.directions(text)).sum(dim=-1)

    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (Q, N) of every key (N, H) for every sentence (Q, Dt)."""
        hidden = torch.relu(keys[None] + self.sentences(text)[:, None])
        logits: Tensor = self.out(hidden).squeeze(-1)
        return logits + self.directions(text) @ F.normalize(keys, dim=-1).T
