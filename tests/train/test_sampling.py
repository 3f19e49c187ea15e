from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsra.runtime.errors import TrainingError
from wsra.train.config import Sampling
from wsra.train.sampling import choose_negatives, rank_batch

ANGLES = torch.tensor([0.0, 0.1, 0.25, 0.45, 0.8, 1.6, 2.6])
TEXT = torch.stack([torch.cos(ANGLES), torch.sin(ANGLES)], dim=1)


def test_by_hand() -> None:
    ranked = rank_batch(TEXT, torch.arange(7), first=2, last=1)
    assert ranked.negatives[0].tolist() == [3, 4, 5]  # 1 and 2 are likely paraphrases, 6 is easy
    assert ranked.nearest.tolist() == [1, 0, 1, 2, 3, 4, 5]
    assert float(ranked.similarity[0]) == pytest.approx(float(torch.cos(torch.tensor(0.1))))


def test_other_captions_of_the_video_come_out_first() -> None:
    ranked = rank_batch(TEXT, torch.tensor([0, 0, 1, 2, 3, 4, 5]), first=1, last=1)
    assert ranked.nearest[0] == 2 and 1 not in ranked.negatives[0].tolist()
    assert ranked.counts.tolist() == [3, 3, 4, 4, 4, 4, 4]
    assert set(ranked.negatives[0].tolist()) == {3, 4, 5}  # the row repeats valid entries


@settings(max_examples=60, deadline=None)
@given(st.integers(6, 20), st.integers(0, 3), st.integers(0, 2), st.integers(0, 5), st.integers(0, 99))
def test_negatives_never_come_from_the_own_video(size: int, first: int, last: int, draws: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(size, 4, generator=generator)
    videos = torch.randint(0, size, (size,), generator=generator)
    try:
        ranked = rank_batch(text, videos, first=first, last=last)
    except TrainingError as error:
        assert "leaves no negative" in str(error)
        return
    negatives = choose_negatives(ranked, Sampling(draws=draws), generator)
    assert (videos[negatives] != videos[:, None]).all()
    unit = torch.nn.functional.normalize(text, dim=1)
    for i in range(size):
        others = sorted((j for j in range(size) if videos[j] != videos[i]), key=lambda j: -float(unit[i] @ unit[j]))
        allowed = set(others[first : len(others) - last])
        assert set(ranked.negatives[i].tolist()) == allowed
        drawn = negatives[i].tolist()
        assert set(drawn) <= allowed
        if 0 < draws <= len(allowed):
            assert len(set(drawn)) == draws


def test_a_batch_too_small_says_so() -> None:
    with pytest.raises(TrainingError, match=r"a batch of 7 leaves 6 sentences .* enlarge training.batch"):
        rank_batch(TEXT, torch.arange(7), first=3, last=3)
