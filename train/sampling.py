"""Top/last-K sampling (Section 3.2.1): chooses the negatives of each pair in a batch, and its most similar other video.

Shapes: B pairs of a video and a sentence in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wsra.runtime.errors import TrainingError
from wsra.train.config import Sampling


@dataclass(frozen=True)
class Ranked:
    """The batch's sentences ranked for each pair.

    Attributes:
        negatives: (B, B - first - last - 1) indices of negatives, the most similar first. If further captions of the video shorten a row,
            its tail repeats valid entries.
        counts: (B,) number of distinct entries in each row.
        nearest: (B,) index of the most similar sentence of another video.
        similarity: (B,) cosine similarity to that sentence.
    """

    negatives: Tensor
    counts: Tensor
    nearest: Tensor
    similarity: Tensor


def rank_batch(text: Tensor, videos: Tensor, *, first: int, last: int) -> Ranked:
    """Rank the sentences of a batch by similarity to each sentence, and drop both ends.

    Captions of the same video are removed first, then the `first` most similar sentences (likely paraphrases) and the `last` least similar
    ones (easy).

    Args:
        text: (B, Dt) text vectors.
        videos: (B,) which video each sentence describes.
        first: K, the number dropped at the top.
        last: K', the number dropped at the end.

    Raises:
        TrainingError: the batch leaves a pair without a negative.
    """
    unit = torch.nn.functional.normalize(text, dim=-1)
    with torch.autocast(text.device.type, enabled=False):  # in bfloat16, many similarities would be equal, and gates would open together
        similarity = unit @ unit.T  # (B, B)
    own = videos[:, None] == videos[None, :]
    ranked = similarity.masked_fill(own, -torch.inf).sort(dim=1, descending=True, stable=True)
    others = (~own).sum(dim=1)  # (B,)
    counts = others - first - last
    if int(counts.min()) < 1:
        raise TrainingError(
            f"a batch of {len(videos)} leaves {int(others.min())} sentences of other videos; dropping the first {first} and the last {last}"
            " leaves no negative: enlarge training.batch or lower sampling.first and sampling.last"
        )
    widest = int(counts.max())
    places = torch.arange(widest, device=counts.device)[None, :] % counts[:, None]  # (B, widest)
    negatives = ranked.indices.gather(1, places + first)
    return Ranked(negatives, counts, ranked.indices[:, 0], ranked.values[:, 0])


def choose_negatives(ranked: Ranked, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """Draw the negatives of each pair.

    Args:
        ranked: from `rank_batch`.
        sampling: how many negatives to draw, without repetition; 0 means all.
        generator: the source of randomness.

    Returns:
        (B, n) indices into the batch.
    """
    draws = sampling.draws
    if draws == 0 or draws >= ranked.negatives.shape[1]:
        return ranked.negatives
    device = ranked.negatives.device
    # Drawn on the CPU, so that every device gets the same numbers.
    chance = torch.rand(ranked.negatives.shape, generator=generator).to(device)
    beyond = torch.arange(ranked.negatives.shape[1], device=device)[None, :] >= ranked.counts[:, None]
    chosen = chance.masked_fill(beyond, 2.0).argsort(dim=1)[:, :draws]
    return ranked.negatives.gather(1, chosen)
