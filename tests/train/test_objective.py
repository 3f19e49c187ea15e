from __future__ import annotations

import math

import pytest
import torch

from wsra.train.config import Loss, Sampling
from wsra.train.data import Batch
from wsra.train.model import Scorer
from wsra.train.objective import CaptionObjective

LOSSES = ("background", "association", "instance", "cross_video", "contrast", "contrast_videos")


def batch(size: int = 8, length: int = 6, width: int = 5, text_width: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, length + 1, (size,), generator=generator)
    mask = torch.arange(length)[None] < lengths[:, None]
    values = torch.randn(size, length, width, generator=generator) * mask[..., None]
    return Batch(values, mask, torch.randn(size, text_width, generator=generator), torch.arange(size), torch.arange(size))


def run(loss: Loss, data: Batch | None = None, *, draws: int = 2) -> tuple[torch.Tensor, dict[str, float], Scorer]:
    torch.manual_seed(1)
    scorer = Scorer(5, 4, 8)
    objective = CaptionObjective(loss, Sampling(first=1, last=1, draws=draws))
    total, figures = objective(scorer, data or batch(), torch.Generator().manual_seed(2))
    return total, figures, scorer


@pytest.mark.parametrize("name", LOSSES)
def test_each_weight_takes_its_loss_alone_and_trains(name: str) -> None:
    weights = dict.fromkeys(LOSSES, 0.0) | {name: 2.0}
    total, figures, scorer = run(Loss(**weights, gate=-1.0))
    assert float(total.detach()) == pytest.approx(2 * figures[name], rel=1e-6) and figures[name] > 0
    total.backward()
    assert scorer.video.weight.grad is not None and scorer.video.weight.grad.abs().sum() > 0


def test_the_background_loss_counts_as_far_as_sentences_are_distinguished() -> None:
    weights = dict.fromkeys(LOSSES, 0.0) | {"background": 2.0, "margin": 0.5}
    total, figures, _ = run(Loss(**weights, background_after=True))
    assert 0 < figures["association"] < 0.5
    assert float(total.detach()) == pytest.approx(2 * (1 - figures["association"] / 0.5) * figures["background"], rel=1e-5)
    wide, beyond, _ = run(Loss(**weights | {"margin": 0.01}, background_after=True))
    assert beyond["association"] > 0.01 and float(wide.detach()) == 0.0


def test_padding_changes_nothing() -> None:
    data = batch()
    longer = Batch(
        torch.cat([data.values, torch.full((8, 3, 5), 99.0)], 1),
        torch.cat([data.mask, torch.zeros(8, 3, dtype=torch.bool)], 1),
        data.text,
        data.videos,
        data.numbers,
    )
    for space in ("features", "keys"):
        loss = Loss(background=1.0, gate=-1.0, cross_video_space=space)
        assert run(loss, data)[1]["loss"] == pytest.approx(run(loss, longer)[1]["loss"], rel=1e-5)


def test_a_single_snippet_and_closed_gates_are_no_trouble() -> None:
    data = batch(length=2)
    single = Batch(data.values[:, :1], torch.ones(8, 1, dtype=torch.bool), data.text, data.videos, data.numbers)
    for gate in (-1.0, 1.0):
        total, figures, _ = run(Loss(gate=gate), single)
        assert torch.isfinite(total) and figures["cross_video"] == 0.0


@pytest.mark.parametrize("draws", [0, 2])
def test_no_tensor_grows_with_the_square_of_the_batch(draws: int) -> None:
    """The largest tensor kept for the backward pass is at most B x n x T (one number per pair, negative and snippet) or B x T x H."""
    size, length, width = 24, 40, 32
    torch.manual_seed(0)
    scorer = Scorer(6, 4, width)
    everywhere = torch.ones(size, length, dtype=torch.bool)
    data = Batch(torch.randn(size, length, 6), everywhere, torch.randn(size, 4), torch.arange(size), torch.arange(size))
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        CaptionObjective(Loss(), Sampling(first=1, last=1, draws=draws))(scorer, data, torch.Generator().manual_seed(0))
    assert max(sizes) <= max(size * length * width, size * size * length)
    assert max(sizes) < size * size * length * width / 20


@pytest.mark.parametrize("space", ["features", "keys"])
def test_bags_of_one_row_alone_give_finite_losses_and_gradients(space: str) -> None:
    """Of videos in which hardly anything moves: without a background, attention has nothing to choose."""
    data = batch()
    single = Batch(data.values[:, :1], data.mask[:, :1], data.text, data.videos, data.numbers)
    total, figures, scorer = run(Loss(background=1.0, contrast_videos=1.0, gate=-1.0, cross_video_space=space), single)
    assert all(math.isfinite(value) for value in figures.values()) and figures["attended"] == pytest.approx(100.0)
    assert figures["background"] == figures["background_phi"] == 0.0
    total.backward()
    gradients = [weight.grad for weight in scorer.parameters() if weight.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients) and scorer.video.weight.grad.abs().sum() > 0
