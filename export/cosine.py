"""The scorer of a zero-shot bundle: how much nearer a sentence is to an image than neutral sentences are, in the space of both towers.

Shapes: T snippets, N keys, Q sentences, R vectors per snippet (the whole frame and its regions), D their width, K neutral sentences.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# These describe any frame of a camera. A sentence that fits a frame no better than the best of them does not describe it.
NEUTRAL = ("a photo", "a video frame", "an empty scene", "a street", "a building", "a room", "people", "the ground")


class CosineScorer(nn.Module):
    """logit = scale * (max over R of cos(vector, sentence) - max over R and K of cos(vector, neutral)).

    Above 0 the sentence fits the snippet better than every neutral sentence does, so theta is 0 and needs no calibration.

    Args (constructor):
        neutral: (K, D) vectors of length 1.
        slots: R, vectors per snippet.
        scale: factor on the cosine with which the towers were trained.
        skipped: numbers before the vectors in each row, which the cosine ignores.
    """

    neutral: Tensor
    scale: Tensor

    def __init__(self, neutral: Tensor, *, slots: int, scale: float, skipped: int = 0) -> None:
        super().__init__()
        self.slots, self.skipped = slots, skipped
        self.register_buffer("neutral", neutral)
        self.register_buffer("scale", torch.tensor([scale]))

    @property
    def feature_width(self) -> int:
        """Dv: the skipped numbers, and R times D."""
        return self.skipped + self.slots * self.text_width

    @property
    def text_width(self) -> int:
        """Dt: D."""
        return int(self.neutral.shape[1])

    @property
    def key_width(self) -> int:
        """H: the vectors, and the cosine of the nearest neutral sentence."""
        return self.slots * self.text_width + 1

    def keys(self, features: Tensor) -> Tensor:
        """Vectors (T, R * D) of length 1 and the nearest neutral cosine: (T, H)."""
        vectors = nn.functional.normalize(features[:, self.skipped :].reshape(-1, self.slots, self.text_width), dim=-1)
        nearest = (vectors @ self.neutral.T).reshape(-1, self.slots * len(self.neutral)).amax(dim=1, keepdim=True)
        return torch.cat([vectors.reshape(-1, self.slots * self.text_width), nearest], dim=1)

    def matrix(self, keys: Tensor, text: Tensor) -> Tensor:
        """Logits (Q, N) of keys (N, H) and sentences (Q, Dt)."""
        vectors = keys[:, :-1].reshape(-1, self.text_width)
        cosines = (nn.functional.normalize(text, dim=-1) @ vectors.T).reshape(text.shape[0], -1, self.slots)
        return self.scale * (cosines.amax(dim=2) - keys[None, :, -1])
