"""Each loss against a case computed by hand and against plain loops over the paper's formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wsra.train.losses import (
    Pooled,
    association_loss,
    attention,
    background_loss,
    cross_video_loss,
    instance_contrast,
    instance_loss,
    open_gates,
    pool,
    ranking_loss,
    similar_video,
    soft_best,
    video_contrast,
)

B, T, W, N = 3, 5, 4, 2
LENGTHS = (5, 3, 1)


def mask() -> Tensor:
    return torch.arange(T)[None, :] < torch.tensor(LENGTHS)[:, None]


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_attention_by_hand() -> None:
    alpha = attention(torch.tensor([[0.0, math.log(3.0), 0.9]]), torch.tensor([[True, True, False]]), temperature=1.0)
    torch.testing.assert_close(alpha, torch.tensor([[0.25, 0.75, 0.0]]))


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_attention_against_loops(temperature: float) -> None:
    phi = uniform(B, T)
    alpha = attention(phi, mask(), temperature=temperature)
    for i, length in enumerate(LENGTHS):
        weights = [math.exp(float(phi[i, t]) / temperature) for t in range(length)]
        expected = [w / sum(weights) for w in weights] + [0.0] * (T - length)
        np.testing.assert_allclose(alpha[i].numpy(), expected, atol=1e-6)


def test_pooling_by_hand_and_of_a_single_snippet() -> None:
    values = torch.tensor([[[1.0], [2.0], [4.0]], [[7.0], [0.0], [0.0]]])
    there = torch.tensor([[True, True, True], [True, False, False]])
    pooled = pool(values, torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]), there)
    torch.testing.assert_close(pooled.foreground, torch.tensor([[2.0], [7.0]]))
    torch.testing.assert_close(pooled.background, torch.tensor([[(0.5 + 1.5 + 3.0) / 2], [0.0]]))


def test_pooling_against_loops() -> None:
    values, alpha = uniform(B, T, W), attention(uniform(B, T, seed=1), mask(), temperature=0.5)
    pooled = pool(values, alpha, mask())
    for i, length in enumerate(LENGTHS):
        front = sum(alpha[i, t] * values[i, t] for t in range(length))
        back = sum((1 - alpha[i, t]) * values[i, t] for t in range(length)) / max(length - 1, 1)
        torch.testing.assert_close(pooled.foreground[i], front)
        torch.testing.assert_close(pooled.background[i], back, atol=1e-6, rtol=1e-5)


def test_background_loss_by_hand_and_against_loops() -> None:
    one = background_loss(torch.tensor([0.75]), torch.tensor([0.25]), gamma=2.0, margin=0.5)
    assert float(one) == pytest.approx(math.log(2.0))
    front, back = uniform(B), uniform(B, seed=1)
    expected = math.log(1 + sum(math.exp(4.0 * (float(back[i]) - float(front[i]) + 0.3)) for i in range(B)))
    assert float(background_loss(front, back, gamma=4.0, margin=0.3)) == pytest.approx(expected, rel=1e-6)


def test_association_loss_by_hand_and_against_loops() -> None:
    loss = association_loss(torch.tensor([0.9, 0.2]), torch.tensor([[0.1, 0.8], [0.5, 0.0]]), margin=0.5)
    assert float(loss) == pytest.approx((0.0 + 0.4 + 0.8 + 0.3) / 4)
    own, other = uniform(B), uniform(B, N, seed=1)
    terms = [max(0.0, 0.5 + float(other[i, j]) - float(own[i])) for i in range(B) for j in range(N)]
    assert float(association_loss(own, other, margin=0.5)) == pytest.approx(sum(terms) / len(terms), rel=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_instance_loss_against_loops(scaled: bool) -> None:
    own, other = 0.4 * uniform(B, T), 0.4 * uniform(N, B, T, seed=1)
    per_pair = []
    for j in range(N):
        for i, length in enumerate(LENGTHS):
            scale = length if scaled else 1
            hinge = [max(0.0, 0.2 + scale * float(other[j, i, t] - own[i, t])) for t in range(length)]
            per_pair.append(sum(hinge) / (length if scaled else 1))
    loss = instance_loss(own, other, mask(), margin=0.2, scaled=scaled)
    assert float(loss) == pytest.approx(sum(per_pair) / len(per_pair), rel=1e-5)


def test_instance_loss_by_hand() -> None:
    own, other = torch.tensor([[0.4, 0.1]]), torch.tensor([[[0.1, 0.3]]])
    both = torch.ones(1, 2, dtype=torch.bool)
    assert float(instance_loss(own, other, both, margin=0.1, scaled=False)) == pytest.approx(0.0 + 0.3)
    assert float(instance_loss(own, other, both, margin=0.1, scaled=True)) == pytest.approx((0.0 + 0.5) / 2)


def test_cross_video_loss_by_hand_has_the_mended_sign() -> None:
    video = Pooled(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.zeros(2, 2))
    other = Pooled(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    # The first pair has alike foregrounds and unlike background: nothing to pay. The second is the opposite.
    assert float(cross_video_loss(video, other, torch.tensor([True, False]), margin=0.5)) == 0.0
    assert float(cross_video_loss(video, other, torch.tensor([False, True]), margin=0.5)) == pytest.approx((0.5 - 0 + 1) / 2)


def test_cross_video_against_loops() -> None:
    video = Pooled(uniform(B, W), uniform(B, W, seed=1))
    values = uniform(B, T, W, seed=2)
    other = similar_video(values, mask(), video.foreground, temperature=1.0)
    gate = torch.tensor([True, True, False])
    total = 0.0
    for i, length in enumerate(LENGTHS):
        u, v = values[i].numpy(), video.foreground[i].numpy()
        weights = np.exp([cosine(u[t], v) for t in range(length)])
        gamma = weights / weights.sum()
        front = (gamma[:, None] * u[:length]).sum(axis=0)
        back = ((1 - gamma)[:, None] * u[:length]).sum(axis=0) / max(length - 1, 1)
        np.testing.assert_allclose(other.foreground[i], front, atol=1e-6)
        if gate[i]:
            total += max(0.0, 0.5 - cosine(front, v) + cosine(back, v))
    assert float(cross_video_loss(video, other, gate, margin=0.5)) == pytest.approx(total / B, rel=1e-5)


def test_gates() -> None:
    similarity = torch.tensor([0.95, 0.9, 0.2, 0.5])
    assert open_gates(similarity, threshold=0.9, quantile=None).tolist() == [True, False, False, False]
    assert open_gates(similarity, threshold=0.9, quantile=0.5).tolist() == [True, True, False, False]


def test_instance_contrast_against_loops() -> None:
    own, other = 4 * uniform(B, T), 4 * uniform(N, B, T, seed=1)
    total = 0.0
    for i, length in enumerate(LENGTHS):
        best = [0.5 * math.log(sum(math.exp(float(x[i, t]) / 0.5) for t in range(length)) / length) for x in (own, *other)]
        total += math.log(sum(map(math.exp, best))) - best[0]
    assert float(instance_contrast(soft_best(own, other, mask(), temperature=0.5))) == pytest.approx(total / B, rel=1e-5)


def test_video_contrast_against_loops() -> None:
    best = 4 * uniform(B, 1 + N)
    best[1, 2] = best[1, 1]
    negatives = [[1, 2], [2, 2], [0, 1]]  # the second pair has one negative, repeated as `rank_batch` does
    total = 0.0
    for sentence in range(B):
        heard = [float(best[v, 1 + negatives[v].index(sentence)]) for v in range(B) if sentence in negatives[v]]
        own = float(best[sentence, 0])
        total += math.log(sum(map(math.exp, [own, *heard]))) - own
    best.requires_grad_()
    loss = video_contrast(best, torch.tensor(negatives))
    assert float(loss.detach()) == pytest.approx(total / B, rel=1e-5)
    loss.backward()
    assert best.grad is not None
    assert float(best.grad.sum()) == pytest.approx(0.0, abs=1e-6)  # a shift of everything changes nothing: no entry is counted twice


def test_the_ranking_loss_by_hand() -> None:
    similarity = torch.tensor([[0.9, 0.4, 0.8], [0.1, 0.5, 0.45], [0.3, 0.2, 0.6]])
    # Margin 0.2. Sentences, row by row: 0.8 of the first video misses by 0.1, 0.45 of the second by 0.15.
    # Videos, column by column: 0.4 of the second sentence by 0.1; of the third 0.8 by 0.4 and 0.45 by 0.05.
    expected = (0.1 + 0.15 + 0.1 + 0.4 + 0.05) / 3
    own = torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(ranking_loss(similarity, own, margin=0.2), torch.tensor(expected))


def test_captions_of_one_video_are_no_negatives_of_each_other() -> None:
    similarity = torch.tensor([[0.5, 0.9], [0.9, 0.5]])
    own = torch.ones(2, 2, dtype=torch.bool)
    assert float(ranking_loss(similarity, own, margin=0.2)) == 0.0
