"""An evaluation for people: the result with its intervals and the controls; and for programs: JSON."""

from __future__ import annotations

from typing import Any

from wsra.runtime.evaluation.evaluate import Evaluation
from wsra.runtime.terminal.display import Group, RenderableType, plain_table

_RECALLS = {f"r{rank}_iou{level}": f"R@{rank} .{level // 10}" for rank in (1, 5) for level in (30, 50, 70)}
FIGURES = {
    "didemo": {"r1": "R@1", "r5": "R@5", "miou": "mIoU"},
    "charades": {**_RECALLS, "miou": "mIoU"},
    "spans": {**_RECALLS, "miou": "mIoU", "map": "mAP", "map_iou50": "mAP .5", "map_iou75": "mAP .75"},
}


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """What `evaluate --json` prints."""
    names = ("protocol", "plan", "queries", "videos", "unanswered", "found", "result", "controls", "interval95", "notes")
    return {name: getattr(evaluation, name) for name in names}


def evaluation_view(evaluation: Evaluation) -> RenderableType:
    """What `evaluate` shows: a row per figure, so that all digits stand in 80 columns."""
    table = plain_table()
    table.add_column(f"{evaluation.protocol}, percent", no_wrap=True)
    table.add_column("result", justify="right", no_wrap=True, style="bold")
    table.add_column("95 % interval", justify="right", no_wrap=True, style="dim")
    for control in evaluation.controls:
        table.add_column(control, justify="right", no_wrap=True)
    for name, label in FIGURES[evaluation.protocol].items():
        low, high = evaluation.interval95[name]
        interval = f"{low:.1f} to {high:.1f}"
        table.add_row(label, _cell(evaluation.result, name), interval, *(_cell(c, name) for c in evaluation.controls.values()))
    notes = [
        f"{evaluation.queries} queries of {evaluation.videos} videos; plan {evaluation.plan}; intervals by the bootstrap over videos",
        *_found(evaluation),
        *(f"{control}: {note}" for control, note in evaluation.notes.items()),
        _verdict(evaluation),
    ]
    return Group(table, *notes)


def _found(evaluation: Evaluation) -> list[str]:
    if evaluation.found is None:
        return []
    return [f"figures presuppose that each sentence is true of its video; by itself the bundle finds {evaluation.found:.1f} % of them"]


def _cell(figures: dict[str, float] | None, name: str) -> str:
    return "-" if figures is None or name not in figures else f"{figures[name]:.2f}"


def _verdict(evaluation: Evaluation) -> str:
    """How far the first answers are above what needs no sentence."""
    name = "r1" if evaluation.protocol == "didemo" else "r1_iou50"
    level, strongest = max((figures[name], control) for control, figures in evaluation.controls.items() if figures is not None)
    low, heading = evaluation.interval95[name][0], FIGURES[evaluation.protocol][name]
    above = f"{heading} is {evaluation.result[name] - level:+.2f} points from the strongest control ({strongest})"
    return above if low > level else f"{above}: its interval does not lie above it, so this does not show that sentences are used"
