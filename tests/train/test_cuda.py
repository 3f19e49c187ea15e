"""Training on a real GPU against the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tiny import make_run
from wsra.train.checkpoint import load_checkpoint
from wsra.train.command import train_run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU")]


@pytest.mark.parametrize(("autocast", "points"), [("false", 2.0), ("true", 8.0)])  # of val_match after some epochs: rounding adds up
def test_a_gpu_learns_what_a_cpu_learns(tmp_path: Path, autocast: str, points: float) -> None:
    run = make_run(tmp_path, epochs=10)
    matches = []
    for device in ("cpu", "cuda"):
        settings = [f"training.device={device}", f"training.autocast={autocast}", "training.feature_noise=0.05"]
        folder = train_run(run, tmp_path / "runs" / device, settings, resume=False)
        matches.append(max(row["val_match"] for row in load_checkpoint(folder).metrics))
    assert abs(matches[0] - matches[1]) < points and min(matches) > 60


def test_a_run_on_a_gpu_resumes(tmp_path: Path) -> None:
    run = make_run(tmp_path, epochs=2)
    folder = train_run(run, tmp_path / "runs" / "a", ["training.device=cuda"], resume=False)
    train_run(run, folder, ["training.device=cuda", "training.epochs=3"], resume=True)
    assert [row["epoch"] for row in load_checkpoint(folder).metrics] == [1, 2, 3]
