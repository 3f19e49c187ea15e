"""`benchmarks/demo_skylines.py`: each variant changes the term that its name states, and no other."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from wsra.train.config import Sampling
from wsra.train.data import Batch
from wsra.train.model import Scorer
from wsra.train.spans import SpanObjective

B, T, WIDTH = 6, 5, 4
SAMPLING = Sampling(first=0, last=0, draws=0)


@pytest.fixture
def skylines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("demo_skylines")


def scorer() -> Scorer:
    torch.manual_seed(1)
    return Scorer(WIDTH, WIDTH, 8)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[2, 3:] = False
    values, text = torch.randn(B, T, WIDTH, generator=generator), torch.randn(B, WIDTH, generator=generator)
    return Batch(values * mask[..., None], mask, text, torch.arange(B), torch.arange(B))


def spans() -> SpanObjective:
    inside = [torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0])] * B
    inside[2], inside[4] = inside[2][:3], torch.zeros(T)  # of caption 4 no row is inside
    return SpanObjective(inside, SAMPLING)


def loss_of(objective: object) -> Tensor:
    loss, figures = objective(scorer(), batch(), torch.Generator().manual_seed(3))  # type: ignore[operator]
    assert figures["loss"] == pytest.approx(float(loss.detach()))
    return loss.detach()  # type: ignore[no-any-return]


def test_unchanged_it_is_the_skyline(skylines: ModuleType) -> None:
    torch.testing.assert_close(loss_of(skylines.ComparedObjective(spans())), loss_of(spans()))


def test_each_term_changes_apart(skylines: ModuleType) -> None:
    objectives = {
        (margin, others): float(loss_of(skylines.ComparedObjective(spans(), margin=margin, others=others)))
        for margin in (False, True)
        for others in ("cross entropy", "contrast", "none")
    }
    assert len(set(objectives.values())) == 6
    for others in ("cross entropy", "contrast"):  # what one term adds does not depend on the other
        added = [objectives[margin, others] - objectives[margin, "none"] for margin in (False, True)]
        assert added[0] == pytest.approx(added[1], abs=1e-5) and added[0] > 0


def test_sentences_left_out_are_no_negatives(skylines: ModuleType) -> None:
    left_out = torch.zeros(B, B, dtype=torch.bool)
    none = loss_of(skylines.ComparedObjective(spans(), left_out=left_out))
    torch.testing.assert_close(none, loss_of(spans()))
    left_out[:, 1] = True
    assert float(loss_of(skylines.ComparedObjective(spans(), left_out=left_out))) != pytest.approx(float(none))
    worse = batch()
    worse.text[1] *= 50  # the sentence that is left out matters only to its own video

    def others(text: Tensor) -> Tensor:
        objective = skylines.ComparedObjective(spans(), left_out=left_out)
        alone = skylines.ComparedObjective(spans(), others="none")
        changed = Batch(worse.values, worse.mask, text, worse.videos, worse.numbers)
        losses = [one(scorer(), changed, torch.Generator().manual_seed(3))[0].detach() for one in (objective, alone)]
        return losses[0] - losses[1]  # type: ignore[no-any-return]

    text = batch().text
    torch.testing.assert_close(others(worse.text), others(text), atol=1e-4, rtol=1e-4)


def test_the_margin_is_between_rows_of_one_video(skylines: ModuleType) -> None:
    own = torch.tensor([[8.0, -8.0, 3.0], [8.0, -8.0, -8.0]])
    target, mask = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([[True, True, False], [True, True, True]])
    assert float(skylines.margin_loss(own, target, mask)) == 0.0  # padding does not count
    worst = float(skylines.margin_loss(-own, target, mask))
    assert worst == pytest.approx(1.5, abs=0.01)
    assert float(skylines.margin_loss(own, torch.zeros_like(target), mask)) == 0.0  # nothing inside


def test_a_variant_is_what_its_name_says(skylines: ModuleType) -> None:
    demo = SimpleNamespace(shares={"train": spans().inside})
    for name in ("cross entropy", "contrast", "margin", "margin, contrast", "no others"):
        objective = skylines.objective_of(name, skylines.run_of(Path(), "skyline", skylines.SETTINGS, 0), demo)
        others = "none" if name == "no others" else "contrast" if name.endswith("contrast") else "cross entropy"
        assert (objective.margin, objective.others, objective.left_out) == (name.startswith("margin"), others, None)
    run = skylines.run_of(Path(), "ours", skylines.OURS, 0)
    assert skylines.objective_of("wsra", run, demo).loss == run.loss and run.loss.contrast > 0
    without = skylines.objective_of("wsra without contrast", run, demo).loss
    assert replace(without, contrast=run.loss.contrast, contrast_videos=run.loss.contrast_videos) == run.loss
    assert without.contrast == without.contrast_videos == 0
