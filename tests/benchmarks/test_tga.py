from __future__ import annotations

import math

import torch

from tga import TextGuidedObjective, cosines
from wsra.train.data import Batch
from wsra.train.model import Scorer


def _identity(width: int) -> Scorer:
    scorer = Scorer(width, width, width)
    with torch.no_grad():
        scorer.video.weight.copy_(torch.eye(width))
        scorer.text.weight.copy_(torch.eye(width))
        scorer.text.bias.zero_()
    return scorer


def test_attention_follows_the_sentence() -> None:
    scorer = _identity(2)
    values = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]], [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    batch = Batch(values, mask, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    loss, figures = TextGuidedObjective(margin=0.95, temperature=0.5)(scorer, batch, torch.Generator())
    share = math.exp(2) / (math.exp(2) + 1)  # cosines 1 and 0 over a temperature of 0.5; the padded snippet has no share
    length = math.hypot(share, 1 - share)
    one, two = share / length, (1 - share) / length  # the first video with the first and the second sentence
    sentences = (0.95 - one + two) + max(0.0, 0.95 - 1 + 0)
    videos = max(0.0, 0.95 - one + 0) + (0.95 - 1 + two)
    expected = (sentences + videos) / 2
    assert math.isclose(float(loss.detach()), expected, abs_tol=1e-6)
    assert figures["match"] == 100.0


def test_drawn_negatives_are_as_many_as_asked_and_never_the_own_video() -> None:
    generator = torch.Generator().manual_seed(0)
    values, text = torch.randn(6, 4, 3, generator=generator), torch.randn(6, 3, generator=generator)
    batch = Batch(values, torch.ones(6, 4, dtype=torch.bool), text, torch.tensor([0, 0, 1, 2, 3, 4]), torch.arange(6))
    # Beyond a margin of 9 every hinge is open, so the loss counts negatives, twice each: 2 (9 - S_ii + S_ij) summed, S in [-1, 1].
    losses = [float(TextGuidedObjective(9.0, 1.0, draws)(_identity(3), batch, generator)[0].detach()) for draws in (1, 3, 4, 0)]
    assert all(14 * draws < loss < 22 * draws for draws, loss in zip((1, 3), losses, strict=False))
    assert 14 * (4 * 6 + 4) / 6 < losses[3] < 22 * (4 * 6 + 4) / 6 and losses[2] < losses[3]
    with_all = TextGuidedObjective(9.0, 1.0, 5)(_identity(3), batch, generator)[0]
    assert float(with_all.detach()) == losses[3]  # as many as there are


def test_windows_are_ranked_by_cosine() -> None:
    keys = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    found = cosines(_identity(2), keys, torch.tensor([[5.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0, math.sqrt(0.5)]]))
