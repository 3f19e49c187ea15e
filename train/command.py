"""`wsra train`: a run file to a checkpoint, with progress."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import sweep_lock
from wsra.runtime.formats.epochs import read_metrics
from wsra.runtime.terminal.console import Bar, progress
from wsra.train.checkpoint import LAST
from wsra.train.config import Run, read_run
from wsra.train.curves import CURVES, draw_curves
from wsra.train.data import CaptionedVideos
from wsra.train.device import choose_device
from wsra.train.run import prepare, train

logger = logging.getLogger(__name__)


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
        WsraError: settings, captions, features, the device or the place cannot be used.
    """
    run = read_run(path, settings)
    device = choose_device(run.training)
    if not resume and (out / LAST).exists():
        sweep_lock(out)
        raise OutputError(f"{out}: holds a run already; go on with --resume or choose another --out")
    with progress("sentences", None) as bar:
        prepared = prepare(run, out.parent / "text-cache", lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total))
    for name, (data, _) in {run.data.captions: prepared.train, run.data.val_captions: prepared.val}.items():
        _tell_times(name, data)
    data = prepared.train[0]
    logger.info(f"{len(data.captions)} captions of {len(data.values)} videos, features of {data.backbone}; on {device}; checkpoint {out}")
    try:
        with progress("features", None) as bar:
            shown = _Shown(run, bar)
            train(run, out, prepared, resume=resume, report=shown.report, progress=shown.progress)
    except KeyboardInterrupt:
        if (out / LAST).exists():
            given = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
            command = f"wsra train {shlex.quote(str(path))} --out {shlex.quote(str(out))} {given}".rstrip()
            logger.info(f"stopped; it goes on from the state last saved, with: {command} --resume")
        _draw(out)
        raise
    _draw(out)
    return out


def _draw(out: Path) -> None:
    if rows := read_metrics(out):
        draw_curves(rows, out / CURVES)


def _tell_times(name: str, data: CaptionedVideos) -> None:
    timed = sum(caption.has_times for caption in data.captions)
    if timed:
        logger.info(f"{name}: {timed} of {len(data.captions)} captions carry relevant_windows; training does not read them")


class _Shown:
    """What a run tells while it goes on: a bar that starts anew for each part of it, and a line per epoch."""

    def __init__(self, run: Run, bar: Bar) -> None:
        self._run, self._bar = run, bar
        self._what = ""
        self._began_s, self._first, self._rate = 0.0, 0, 0.0
        self._told = False

    def progress(self, what: str, done: int, total: int) -> None:
        task = self._bar.task_ids[0]
        if what != self._what:
            self._what = what
            self._began_s, self._first = time.monotonic(), done
            self._bar.reset(task, description=what, total=total, completed=done)
        elif what.startswith("epoch"):
            self._rate = (done - self._first) / (time.monotonic() - self._began_s)
        self._bar.update(task, completed=done)

    def report(self, row: dict[str, float]) -> None:
        speed = f"; {self._rate:,.0f} pairs/s" if self._rate else ""
        logger.info(
            f"epoch {int(row['epoch'])}: loss {row['loss']:.3f}, validation {row['val_loss']:.3f}, own sentence wins"
            f" {row['val_match']:.1f} %, attends to {row['val_attended']:.0f} % of a video, gates open {row['val_open_gates']:.0f} %{speed}"
        )
        if row["collapsed"] and not self._told:
            self._told = True
            logger.warning(
                "attention has settled on the background (other sentences find the same foreground as a video's own):"
                " lower loss.background or raise loss.temperature and start again"
            )
