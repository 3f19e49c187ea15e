from __future__ import annotations

import math

import pytest
import torch

from tga import TextGuidedObjective
from wsra.runtime.errors import ConfigError
from wsra.train.config import Loss, Sampling
from wsra.train.custom import CustomScorer
from wsra.train.data import Batch
from wsra.train.model import Scorer
from wsra.train.objective import CaptionObjective

LOSSES = ("background", "association", "instance", "cross_video", "contrast", "contrast_videos", "ranking")


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


def test_raw_features_are_those_that_were_stored() -> None:
    """Normalised features move with the scorer's mean; raw ones do not."""
    weights = dict.fromkeys(LOSSES, 0.0) | {"cross_video": 1.0, "gate": -1.0}

    def cross_video(space: str, mean: float) -> float:
        torch.manual_seed(1)
        scorer = Scorer(5, 4, 8)
        objective = CaptionObjective(Loss(**weights, cross_video_space=space), Sampling(first=1, last=1, draws=2))  # type: ignore[arg-type]
        with torch.no_grad():  # a shift of the mean that keys, and so the attention, do not feel
            scorer.video.weight.sub_(scorer.video.weight.mean(dim=1, keepdim=True))
            scorer.feature_mean.fill_(mean)
        return objective(scorer, batch(), torch.Generator().manual_seed(2))[1]["cross_video"]

    assert cross_video("raw", 0.0) == pytest.approx(cross_video("raw", 3.0), rel=1e-5)
    assert cross_video("raw", 0.0) == pytest.approx(cross_video("features", 0.0), rel=1e-5)
    assert cross_video("features", 0.0) != pytest.approx(cross_video("features", 3.0), rel=1e-2)


def test_the_attention_over_the_similar_video_has_its_own_temperature() -> None:
    weights = dict.fromkeys(LOSSES, 0.0) | {"cross_video": 1.0, "association": 1.0, "gate": -1.0, "temperature": 0.1}
    plain, same, other = (run(Loss(**weights, similar_temperature=t))[1] for t in (None, 0.1, 1.0))
    assert plain == same and other["association"] == plain["association"]
    assert other["cross_video"] != pytest.approx(plain["cross_video"], rel=1e-3)


def test_the_ranking_loss_is_that_of_text_guided_attention() -> None:
    """With the weights of the cosine in the place of those that the baseline uses."""
    weights = dict.fromkeys(LOSSES, 0.0) | {"ranking": 1.0}
    total, _, scorer = run(Loss(**weights, ranking_margin=0.4, ranking_temperature=0.5))
    with torch.no_grad():
        scorer.text.weight.copy_(scorer.direction.weight)
        scorer.text.bias.copy_(scorer.direction.bias)
    expected = TextGuidedObjective(margin=0.4, temperature=0.5)(scorer, batch(), torch.Generator())[0]
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5) and float(total.detach()) > 0


def test_the_ranking_loss_needs_a_scorer_with_a_cosine() -> None:
    class Plain(torch.nn.Module):
        def keys(self, features: torch.Tensor) -> torch.Tensor:
            return features

        def matrix(self, keys: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            return text @ keys.transpose(-1, -2)

    objective = CaptionObjective(Loss(ranking=1.0), Sampling(first=1, last=1, draws=2))
    data = batch(width=4)
    with pytest.raises(ConfigError, match=r"loss\.ranking needs the cosine of wsra's own scorer"):
        objective(CustomScorer(Plain(), 4, 4, 4), data, torch.Generator().manual_seed(0))
