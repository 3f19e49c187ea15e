"""The training loop: epochs, validation, the best and the last checkpoint, resuming, and a watch for collapse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from wsra.runtime.errors import ConfigError, OutputError, TrainingError
from wsra.train.checkpoint import CONFIG, load_last, save_last, save_metrics, save_model, save_run
from wsra.train.config import Run, read_run, table_from_run
from wsra.train.data import CaptionedVideos, moments_of_features
from wsra.train.model import Scorer
from wsra.train.objective import Objective

Report = Callable[[dict[str, float]], None]
COLLAPSE_EPOCHS = 3  # so many epochs in a row with the association loss at its margin mean that attention sits on background
COLLAPSE_SHARE, COLLAPSE_CONTRAST = 0.9, 0.1


def _mean(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(rows)
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


@torch.no_grad()
def validate(scorer: Scorer, data: CaptionedVideos, text: Tensor, objective: Objective, run: Run) -> dict[str, float]:
    """Figures of an objective on held-out captions, with the same chance every time."""
    generator = torch.Generator().manual_seed(run.training.seed + 1)
    order = torch.randperm(len(data.captions), generator=generator)
    return _mean(objective(scorer, batch, generator)[1] for batch in data.batches(text, order, run.training.batch))


def has_collapsed(rows: list[dict[str, float]], margin: float) -> bool:
    """Whether training has settled on background: foreground and background are told apart, but not by what the sentence says.

    Then the association loss stays at its margin while phi of foreground and background differ. A run that is merely slow has both alike.

    Args:
        rows: one per epoch.
        margin: m of the losses.
    """
    recent = [row for row in rows[-COLLAPSE_EPOCHS:] if "val_association" in row]
    return len(recent) == COLLAPSE_EPOCHS and all(
        row["val_association"] > COLLAPSE_SHARE * margin and row["val_foreground_phi"] - row["val_background_phi"] > COLLAPSE_CONTRAST
        for row in recent
    )


def fit(
    run: Run,
    folder: Path,
    train: tuple[CaptionedVideos, Tensor],
    val: tuple[CaptionedVideos, Tensor],
    *,
    objective: Objective,
    val_objective: Objective | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> list[dict[str, float]]:
    """Train a scorer.

    Args:
        run: the settings.
        folder: becomes the checkpoint.
        train: captioned videos and the vectors of their captions (captions, Dt).
        val: the same, of other videos; chooses the best epoch by `match`, the share of comparisons in which the own sentence finds a
            better snippet in its video than another video's sentence does.
        objective: what to minimise.
        val_objective: what to validate with, if not the same.
        resume: go on where `folder` stands.
        report: called with the figures of each epoch.

    Returns:
        One row of figures per epoch.

    Raises:
        TrainingError: a loss is not finite, or the batch has no negatives.
        OutputError: `folder` holds a run already and `resume` is not set.
    """
    torch.set_num_threads(run.training.threads)
    if not resume and (folder / "last.safetensors").exists():
        raise OutputError(f"{folder}: holds a run already; go on with --resume or choose another --out")
    data, text = train
    torch.manual_seed(run.training.seed)
    scorer = Scorer(data.values[0].shape[1], text.shape[1], run.training.key_width)
    scorer.normalise(*moments_of_features(data))
    scorer.normalise_text(text)
    optimizer = torch.optim.Adam(
        scorer.parameters(), lr=run.training.learning_rate, betas=(0.9, 0.999), weight_decay=run.training.weight_decay
    )
    generator = torch.Generator().manual_seed(run.training.seed)
    rows: list[dict[str, float]] = []
    best, first = -1.0, 0
    if resume:
        _check_same_run(run, folder)
        state = load_last(folder, scorer, optimizer, generator)
        rows, best, first = state["rows"], state["best"], int(state["epoch"])  # type: ignore[assignment]
    save_run(folder, run)
    for epoch in range(first, run.training.epochs):
        scorer.train()
        figures = _mean(_steps(scorer, optimizer, data, text, objective, run, generator))
        scorer.eval()
        checked = validate(scorer, val[0], val[1], val_objective or objective, run)
        row = {"epoch": epoch + 1, **figures, **{f"val_{name}": value for name, value in checked.items()}}
        rows.append(row)
        row["collapsed"] = float(has_collapsed(rows, run.loss.margin))
        if row["val_match"] > best:
            best = row["val_match"]
            save_model(folder, scorer, backbone=data.backbone, snippet_s=data.snippet_s, epoch=epoch + 1)
        save_metrics(folder, rows)
        save_last(folder, scorer, optimizer, generator, {"epoch": epoch + 1, "best": best, "rows": rows})  # type: ignore[dict-item]
        if report is not None:
            report(row)
    return rows


def _check_same_run(run: Run, folder: Path) -> None:
    """A run goes on with its own settings; only the number of epochs may change."""
    if not (folder / CONFIG).is_file():
        return
    before, now = (table_from_run(r) for r in (read_run(folder / CONFIG), run))
    for section, values in now.items():
        for key in values.keys() | before[section].keys():
            if (section, key) not in {("training", "epochs"), ("training", "threads")} and values.get(key) != before[section].get(key):
                raise ConfigError(
                    f"{folder}: was begun with {section}.{key} = {before[section].get(key)!r}, now it is {values.get(key)!r};"
                    " resume with the same settings or choose another --out"
                )


def _steps(
    scorer: Scorer,
    optimizer: torch.optim.Optimizer,
    data: CaptionedVideos,
    text: Tensor,
    objective: Objective,
    run: Run,
    generator: torch.Generator,
) -> Iterable[dict[str, float]]:
    order = torch.randperm(len(data.captions), generator=generator)
    for batch in data.batches(text, order, run.training.batch):
        if run.training.feature_noise:
            noise = torch.randn(batch.values.shape, generator=generator) * run.training.feature_noise
            batch = type(batch)(batch.values + noise / scorer.feature_scale, batch.mask, batch.text, batch.videos, batch.numbers)
        loss, figures = objective(scorer, batch, generator)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {float(loss)}; lower training.learning_rate or check the features with wsra info")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield figures
