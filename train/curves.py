"""Draws the curves of a run: losses, share of comparisons won, attention and gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wsra.runtime.files.writing import replacing

CURVES = "curves.png"


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
