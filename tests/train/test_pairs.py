"""Pieces in the cache against whole tensors and autograd."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch

from wsra.train import pairs
from wsra.train.model import Scorer

RTOL, ATOL = 1e-4, 1e-5  # float32, summed in another order


def models() -> tuple[Scorer, Scorer, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    first, second = Scorer(6, 4, 8), Scorer(6, 4, 8)
    first.normalise(torch.randn(6), torch.rand(6) + 0.5)
    first.normalise_text(torch.randn(9, 4))
    second.load_state_dict(first.state_dict())
    return first, second, torch.randn(5, 7, 6), torch.randn(5, 3, 4), torch.randn(5, 3, 7)


@pytest.mark.parametrize("piece", [1, 30, 100, 1 << 17])  # a snippet, part of a video, some videos, everything
def test_logits_and_gradients_are_those_of_whole_tensors(piece: int) -> None:
    ours, straight, values, text, weights = models()
    with patch.object(pairs, "PIECE_CPU", piece):
        found = pairs.pair_logits(ours, pairs.batch_keys(ours, values), text)
        (found * weights).sum().backward()
    expected = straight.logits(straight.keys(values)[:, None], text[:, :, None])
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected, rtol=RTOL, atol=ATOL)
    for (name, one), other in zip(ours.named_parameters(), straight.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=RTOL, atol=ATOL, msg=name)


def test_logits_stay_in_float32_where_products_are_bfloat16() -> None:
    ours, _, values, text, _ = models()
    with torch.autocast("cpu", torch.bfloat16):
        keys = ours.keys(values)
        logits = pairs.pair_logits(ours, keys, text)
    assert keys.dtype == torch.bfloat16 and logits.dtype == torch.float32
    logits.sum().backward()
    assert ours.video.weight.grad is not None and ours.video.weight.grad.abs().sum() > 0


def test_gradients_are_those_of_finite_differences_in_float64() -> None:
    scorer, _, _, text, _ = models()
    scorer.double()
    keys, text = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True), text[:2].double().requires_grad_()
    assert pairs.pair_logits(scorer, keys, text).dtype == torch.float64
    used = [weight for name, weight in scorer.named_parameters() if name != "video.weight"]
    for piece in (1, 40, 1 << 17):  # a snippet, some videos, everything
        with patch.object(pairs, "PIECE_CPU", piece):
            assert torch.autograd.gradcheck(lambda keys, text, *_: pairs.pair_logits(scorer, keys, text), (keys, text, *used))


def test_the_gradient_of_keys_is_that_of_finite_differences_in_float64() -> None:
    scorer, _, values, _, _ = models()
    scorer.double()
    assert torch.autograd.gradcheck(lambda _: pairs.batch_keys(scorer, values.double()), (scorer.video.weight,))
