"""`wsra train`: trains from a run file and shows progress."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import sweep_lock
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.progress import Progress, unseen
from wsra.train.checkpoint import LAST
from wsra.train.config import read_run
from wsra.train.curves import CURVES, draw_curves
from wsra.train.data import CaptionedVideos
from wsra.train.device import choose_device
from wsra.train.run import prepare, train

logger = logging.getLogger(__name__)


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
        logger.info(
            f"epoch {int(row['epoch'])}: loss {row['loss']:.3f}, validation {row['val_loss']:.3f}, own sentence wins"
            f" {row['val_match']:.1f} %, attends to {row['val_attended']:.0f} % of a video, gates open {row['val_open_gates']:.0f} %{speed}"
        )
        if row["collapsed"] and not self._warned:
            self._warned = True
            logger.warning(
                "attention has settled on the background (other sentences find the same foreground as a video's own):"
                " lower loss.background or raise loss.temperature and start again"
            )
