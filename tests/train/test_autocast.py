"""Training in bfloat16 as on a GPU, on the CPU: keys as there, products rounded, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tiny import make_run
from wsra.runtime.formats.epochs import read_metrics
from wsra.train import loop, objective
from wsra.train.command import train_run
from wsra.train.config import Training
from wsra.train.model import Scorer

# How far a loss may be apart after some epochs: a product in bfloat16 keeps eight bits, and processors round its sums differently, so that
# six epochs end up to 4 % apart; the last loss compares cosines that are alike.
APART = {"loss": 0.05, "background": 0.1, "association": 0.1, "instance": 0.1, "contrast": 0.1, "cross_video": 0.3}


def keys_of_a_gpu(scorer: Scorer, values: torch.Tensor) -> torch.Tensor:
    keys = scorer.keys(values)
    assert keys.dtype == torch.bfloat16
    return keys


def in_bfloat16(training: Training, device: torch.device) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=training.autocast)


@pytest.mark.parametrize("space", ["features", "keys"])
def test_autocast_trains_to_nearly_the_same_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str) -> None:
    path = make_run(tmp_path, epochs=6)
    settings = ["loss.gate_quantile=0.5", f"loss.cross_video_space={space}", "training.feature_noise=0.05"]
    exact = read_metrics(train_run(path, tmp_path / "runs" / "exact", settings, resume=False))
    monkeypatch.setattr(loop, "autocast", in_bfloat16)
    monkeypatch.setattr(objective, "batch_keys", keys_of_a_gpu)
    rounded = read_metrics(train_run(path, tmp_path / "runs" / "rounded", settings, resume=False))
    for row, other in zip(exact, rounded, strict=True):
        for name, apart in APART.items():
            assert row[name] == pytest.approx(other[name], rel=apart), (row["epoch"], name)
            assert row[f"val_{name}"] == pytest.approx(other[f"val_{name}"], rel=apart), (row["epoch"], name)
        assert row["open_gates"] == other["open_gates"]  # sentences are compared in float32
    assert [row["loss"] for row in exact] != [row["loss"] for row in rounded]
    assert max(row["val_match"] for row in rounded) > 60
