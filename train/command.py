"""`wsra train`: a run file to a checkpoint, with progress."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsra.runtime.console import progress, say
from wsra.runtime.errors import OutputError
from wsra.train.checkpoint import LAST
from wsra.train.config import read_run
from wsra.train.run import prepare, train


def train_run(path: Path, out: Path, settings: Sequence[str], *, resume: bool) -> Path:
    """Train.

    Args:
        path: the run file.
        out: the checkpoint.
        settings: `section.key=value`, over the run file.
        resume: go on where `out` stands.

    Returns:
        The checkpoint.

    Raises:
        WsraError: settings, captions, features or the place cannot be used.
    """
    run = read_run(path, settings)
    if not resume and (out / LAST).exists():
        raise OutputError(f"{out}: holds a run already; go on with --resume or choose another --out")
    with progress("sentences", None) as bar:
        prepared = prepare(run, out.parent / "text-cache", lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total))
    data = prepared.train[0]
    say(f"{len(data.captions)} captions of {len(data.values)} videos, features of {data.backbone}; checkpoint {out}")
    told = False
    with progress("epochs", run.training.epochs) as bar:

        def report(row: dict[str, float]) -> None:
            nonlocal told
            bar.update(bar.task_ids[0], completed=row["epoch"])
            say(
                f"epoch {int(row['epoch'])}: loss {row['loss']:.3f}, validation {row['val_loss']:.3f}, own sentence wins"
                f" {row['val_match']:.1f} %, attends to {row['val_attended']:.0f} % of a video, gates open {row['val_open_gates']:.0f} %"
            )
            if row["collapsed"] and not told:
                told = True
                say(
                    "WARNING: attention has settled on the background (the association loss stays at its margin):"
                    " lower loss.background or raise loss.temperature and start again"
                )

        train(run, out, prepared, resume=resume, report=report)
    return out
