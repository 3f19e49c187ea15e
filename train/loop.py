"""The training loop: epochs, validation, the best and the last checkpoint, resuming, and a watch for collapse."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wsra.runtime.errors import ConfigError, OutputError, TrainingError
from wsra.runtime.prefetch import ahead
from wsra.runtime.progress import Progress
from wsra.train.base_scorer import BaseScorer
from wsra.train.checkpoint import CONFIG, LAST, Reached, load_last, save_last, save_metrics, save_model, save_run
from wsra.train.config import SPANS, Run, read_run, table_from_run
from wsra.train.custom import new_scorer
from wsra.train.data import Batch, CaptionedVideos, moments_of_features
from wsra.train.device import autocast, choose_device
from wsra.train.objective import Objective

Report = Callable[[dict[str, float]], None]
AHEAD = 2  # batches read ahead by a separate thread
# Settings that a resumed run may change, since they do not affect the result (threads only its last digits).
MAY_CHANGE = {("training", name) for name in ("epochs", "threads", "save_every_s", "cache_mb")}
COLLAPSE_EPOCHS = 3  # number of epochs in a row
COLLAPSE_CONTRAST = 0.1  # least difference of phi between foreground and background; below it, training is merely slow
COLLAPSE_SHARE = 0.6  # share of that contrast due to the sentence; 0.40 to 0.55 in collapsed planted runs, 0.83 or more in sound ones


@dataclass(frozen=True)
class Trainer:
    """The state that the steps of a run share.

    Attributes:
        run: the settings.
        scorer: the model, on `device`.
        optimizer: of its weights.
        generator: the source of randomness, always on the CPU.
        device: the device that computes the steps.
    """

    run: Run
    scorer: BaseScorer
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    device: torch.device

    def step(self, batch: Batch, objective: Objective) -> dict[str, float]:
        """Learn from one batch and return its figures, with the loss among them.

        Raises:
            TrainingError: the loss is not finite, or the batch has no negatives.
        """
        training = self.run.training
        batch = batch.to(self.device)
        if training.feature_noise:
            noise = torch.randn(batch.values.shape, generator=self.generator).to(self.device) * training.feature_noise
            batch = Batch(batch.values + noise / self.scorer.feature_scale, batch.mask, batch.text, batch.videos, batch.numbers)
        with autocast(training, self.device):
            loss, figures = objective(self.scorer, batch, self.generator)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {float(loss)}; lower training.learning_rate or check the features with wsra info")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss": float(loss.detach()), **figures}

    def save(self, folder: Path, reached: Reached) -> None:
        """Write the state for resuming."""
        save_last(folder, self.scorer, self.optimizer, self.generator, reached)


@torch.no_grad()
def validate(
    scorer: BaseScorer, data: CaptionedVideos, text: Tensor, objective: Objective, run: Run, *, progress: Progress | None = None
) -> dict[str, float]:
    """Figures of an objective on held-out captions, with the same random draws every time.

    Raises:
        TrainingError: an objective gives other figures for one batch than for another.
    """
    scorer.eval()
    generator = torch.Generator().manual_seed(run.training.seed + 1)
    order = torch.randperm(len(data.captions), generator=generator)
    device, steps = scorer.feature_mean.device, data.steps(run.training.batch)
    sums: dict[str, float] = {}
    with closing(ahead(data.batches(text, order, run.training.batch), AHEAD)) as batches:
        for done, batch in enumerate(batches, 1):
            with autocast(run.training, device):
                loss, figures = objective(scorer, batch.to(device), generator)
            _add(sums, {"loss": float(loss), **figures})
            if progress is not None:
                progress("validation", done * run.training.batch, steps * run.training.batch)
    scorer.train()
    return {name: value / steps for name, value in sums.items()}


def _add(sums: dict[str, float], figures: dict[str, float]) -> None:
    _check_same_figures(sums or figures, figures, "batch")
    for name, value in figures.items():
        sums[name] = sums.get(name, 0.0) + float(value)


def _check_same_figures(first: dict[str, float], figures: dict[str, float], part: str) -> None:
    if first.keys() != figures.keys():
        one, other = (", ".join(sorted(names)) for names in (first, figures))
        raise TrainingError(f"the objective gave the figures {one} for one {part} and {other} for another; expected the same for each")


def has_collapsed(rows: list[dict[str, float]], margin: float) -> bool:
    """Whether training has settled on background: the scorer separates foreground from background, but not by the sentence.

    Then phi of foreground and background differ, while phi of the foreground is nearly as high for other sentences as for the video's own.
    The difference between sentences is how far the association loss has fallen below its margin. In a run that is merely slow, all of
    these values are similar.

    Args:
        rows: one per epoch; without these figures there is no collapse to see.
        margin: m of the losses, the largest difference that the association loss can show.
    """
    needed = {"val_association", "val_foreground_phi", "val_background_phi"}
    recent = [row for row in rows[-COLLAPSE_EPOCHS:] if needed <= row.keys()]
    return len(recent) == COLLAPSE_EPOCHS and all(_on_background(row, margin) for row in recent)


def _on_background(row: dict[str, float], margin: float) -> bool:
    contrast = row["val_foreground_phi"] - row["val_background_phi"]
    by_sentence = margin - row["val_association"]
    return contrast > COLLAPSE_CONTRAST and by_sentence < COLLAPSE_SHARE * min(contrast, margin)


def goodness(row: dict[str, float]) -> float:
    """What the best epoch has most of: `val_match`, or, where the objective does not give it, the lowest validation loss."""
    return row.get("val_match", -row["val_loss"])


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
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train a scorer.

    Args:
        run: the settings.
        folder: the folder of the checkpoint.
        train: captioned videos, and the vectors of their captions (captions, Dt).
        val: the same for other videos. The best epoch has the highest `match`, the share of comparisons in which a video's own sentence
            finds a better snippet than another video's sentence does, or the lowest loss if the objective gives no `match`.
        objective: what to minimise, on its figures; it may leave out any of them, but must give the same for every batch.
        val_objective: objective for validation, if different.
        resume: continue from the last saved state in `folder`.
        report: called with the figures of each epoch.
        progress: called with the current part ("features", "epoch 1 of 20", "validation"), and the videos or pairs done and in total.

    Returns:
        One row of figures per epoch.

    Raises:
        TrainingError: a loss is not finite, the batch has no negatives, or figures are missing for some batches.
        FeatureError: a .feat file cannot be used.
        ConfigError: the requested GPU is missing, the scorer cannot be made, or a run is resumed with other settings.
        OutputError: `folder` already holds a run and `resume` is not set.
    """
    device = choose_device(run.training)
    torch.set_num_threads(run.training.threads)
    if not resume and (folder / LAST).exists():
        raise OutputError(f"{folder}: already holds a run; continue it with --resume or choose another --out")
    data, text = train
    torch.manual_seed(run.training.seed)
    scorer = new_scorer(run.training.scorer, data.values[0].shape[1], text.shape[1], run.training.key_width).to(device)
    optimizer = torch.optim.Adam(
        scorer.parameters(), lr=run.training.learning_rate, betas=(0.9, 0.999), weight_decay=run.training.weight_decay
    )
    trainer = Trainer(run, scorer, optimizer, torch.Generator().manual_seed(run.training.seed), device)
    if resume:
        _check_same_run(run, folder)
        reached = load_last(folder, scorer, optimizer, trainer.generator)
        if reached.step and len(reached.order) != len(data.captions):
            raise ConfigError(
                f"{folder}: the run started with {len(reached.order)} captions, now there are {len(data.captions)}; resume with the same"
                " captions or choose another --out"
            )
        save_run(folder, run)
    else:
        reached = Reached()
        scorer.normalise(*moments_of_features(data, (lambda done, total: progress("features", done, total)) if progress else None))
        scorer.normalise_text(text)
        for _ in val[0].values:
            pass  # a file that cannot be used must fail before the first epoch, not after it
        save_run(folder, run)
        trainer.save(folder, reached)
    while reached.epoch < run.training.epochs:
        figures = _epoch(trainer, folder, train, objective, reached, progress)
        checked = validate(scorer, val[0], val[1], val_objective or objective, run, progress=progress)
        row = {"epoch": reached.epoch + 1, **figures, **{f"val_{name}": value for name, value in checked.items()}}
        if not math.isfinite(row["val_loss"]):
            raise TrainingError(f"the validation loss is {row['val_loss']}; lower training.learning_rate")
        rows = [*reached.rows, row]
        row["collapsed"] = float(has_collapsed(rows, run.loss.margin))
        _check_same_figures(rows[0], row, "epoch")
        best = goodness(row) if not reached.rows else max(reached.best, goodness(row))
        if not reached.rows or best > reached.best:
            upper_bound = run.training.objective == SPANS
            save_model(folder, scorer, backbone=data.backbone, snippet_s=data.snippet_s, epoch=reached.epoch + 1, upper_bound=upper_bound)
        save_metrics(folder, rows)
        reached = Reached(epoch=reached.epoch + 1, best=best, rows=rows)
        trainer.save(folder, reached)
        if report is not None:
            report(row)
    return reached.rows


def _epoch(
    trainer: Trainer,
    folder: Path,
    train: tuple[CaptionedVideos, Tensor],
    objective: Objective,
    reached: Reached,
    progress: Progress | None,
) -> dict[str, float]:
    """Finish an epoch, saving the state from time to time; return the mean figures of its steps."""
    data, text = train
    settings = trainer.run.training
    steps = data.steps(settings.batch)
    if reached.step == 0:
        reached.order = torch.randperm(len(data.captions), generator=trainer.generator)
    saved = time.monotonic()
    with closing(ahead(data.batches(text, reached.order, settings.batch, skip=reached.step), AHEAD)) as batches:
        for batch in batches:
            _add(reached.sums, trainer.step(batch, objective))
            reached.step += 1
            if progress is not None:
                progress(f"epoch {reached.epoch + 1} of {settings.epochs}", reached.step * settings.batch, steps * settings.batch)
            if time.monotonic() - saved >= settings.save_every_s:
                trainer.save(folder, reached)
                saved = time.monotonic()
    return {name: value / steps for name, value in reached.sums.items()}


def _check_same_run(run: Run, folder: Path) -> None:
    """Refuse to resume with settings that would change the result."""
    if not (folder / CONFIG).is_file():
        return
    before, now = (table_from_run(r) for r in (read_run(folder / CONFIG), run))
    for section, values in now.items():
        for key in values.keys() | before[section].keys():
            if (section, key) not in MAY_CHANGE and values.get(key) != before[section].get(key):
                raise ConfigError(
                    f"{folder}: the run started with {section}.{key} = {before[section].get(key)!r}, now it is {values.get(key)!r};"
                    " resume with the same settings or choose another --out"
                )
