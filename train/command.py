"""`wsra train`: trains from a run file, shows progress, and draws the curves."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import sweep_lock
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.progress import Progress, unseen
from wsra.train.checkpoint import LAST
from wsra.train.config import SPANS, read_run
from wsra.train.data import CaptionedVideos
from wsra.train.device import choose_device
from wsra.train.run import prepare, train

SHOWN = {  # figures in the message of an epoch; an objective may leave out some
    "loss": "loss {:.3f}",
    "val_loss": "validation {:.3f}",
    "val_match": "own sentence wins {:.1f} %",
    "val_attended": "attends to {:.0f} % of a video",
    "val_open_gates": "gates open {:.0f} %",
}
logger = logging.getLogger(__name__)

CURVES = "curves.png"


def train_run(path: Path, out: Path, settings: Sequence[str], *, resume: bool, progress: Progress = unseen) -> Path:
    """Train a scorer as a run file describes it.

    Args:
        path: the run file.
        out: folder of the checkpoint.
        settings: `section.key=value`; these override the run file.
        resume: continue from the last saved state in `out`.
        progress: called with what is counted ("sentences", or a part of training as in `fit`), the number done and the total.

    Returns:
        The checkpoint.

    Raises:
        WsraError: settings, captions, features, device or output folder cannot be used.
    """
    run = read_run(path, settings)
    device = choose_device(run.training)
    if not resume and (out / LAST).exists():
        sweep_lock(out)
        raise OutputError(f"{out}: already holds a run; continue it with --resume or choose another --out")
    prepared = prepare(run, out.parent / "text-cache", lambda done, total: progress("sentences", done, total))
    if run.training.objective == SPANS:
        logger.warning("this run reads the spans of its captions: an upper bound, not a model to use; wsra export refuses it")
    else:
        for name, (data, _) in {run.data.captions: prepared.train, run.data.val_captions: prepared.val}.items():
            _mention_times(name, data)
    data = prepared.train[0]
    logger.info(f"{len(data.captions)} captions of {len(data.values)} videos, features of {data.backbone}; on {device}; checkpoint {out}")
    try:
        shown = _Shown(progress)
        train(run, out, prepared, resume=resume, report=shown.report, progress=shown.progress)
    except KeyboardInterrupt:
        if (out / LAST).exists():
            given = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
            command = f"wsra train {shlex.quote(str(path))} --out {shlex.quote(str(out))} {given}".rstrip()
            logger.info(f"stopped; continue from the last saved state with: {command} --resume")
        _draw(out)
        raise
    _draw(out)
    return out


def _draw(out: Path) -> None:
    if rows := read_metrics(out):
        draw_curves(rows, out / CURVES)


def _mention_times(name: str, data: CaptionedVideos) -> None:
    timed = sum(caption.has_times for caption in data.captions)
    if timed:
        logger.info(f"{name}: {timed} of {len(data.captions)} captions carry relevant_windows; training does not read them")


class _Shown:
    """Reports a run: its progress, and a message per epoch with the speed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._what = ""
        self._began_s, self._first, self._rate = 0.0, 0.0, 0.0
        self._warned = False

    def progress(self, what: str, done: float, total: float | None) -> None:
        if what != self._what:
            self._what = what
            self._began_s, self._first = time.monotonic(), done
        elif what.startswith("epoch"):
            self._rate = (done - self._first) / (time.monotonic() - self._began_s)
        self._progress(what, done, total)

    def report(self, row: dict[str, float]) -> None:
        speed = f"; {self._rate:,.0f} pairs/s" if self._rate else ""
        given = [text.format(row[name]) for name, text in SHOWN.items() if name in row]
        logger.info(f"epoch {int(row['epoch'])}: {', '.join(given)}{speed}")
        if row["collapsed"] and not self._warned:
            self._warned = True
            logger.warning(
                "attention has settled on the background (other sentences find the same foreground as a video's own):"
                " lower loss.background or raise loss.temperature and start again"
            )


def draw_curves(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Draw the figures of the epochs as PNG.

    Args:
        rows: one per epoch, as in metrics.csv, at least one; figures that the objective does not compute are left out.
        path: the PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    loss, match, watch = figure.subplots(1, 3)
    _lines(loss, rows, ("loss", "val_loss"), "loss")
    _lines(match, rows, ("match", "val_match"), "own sentence wins, %")
    if "val_match" in rows[0]:
        match.axhline(50, color="grey", linewidth=0.8, linestyle=":", label="chance")
    _lines(watch, rows, ("val_attended", "val_open_gates"), "attended share of a video, open gates, %")
    for axes in (loss, match, watch):
        axes.set_xlabel("epoch")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)


def _lines(axes: Axes, rows: Sequence[dict[str, float]], names: Sequence[str], title: str) -> None:
    axes.set_title(title, fontsize="medium")
    for name in names:
        if name in rows[0]:
            axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker=".", label=name)
