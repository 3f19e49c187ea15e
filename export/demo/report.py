"""The closing report of `wsra demo`: figures beside controls, three answers beside the truth, and commands to try next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.archive.report import curve_drawing
from wsra.runtime.terminal.display import Group, RenderableType, Styled, Table, clock, plain_table

_COLUMNS = (
    ("queries", "queries"),
    ("r1_iou30", "R@1 .3"),
    ("r1_iou50", "R@1 .5"),
    ("r1_iou70", "R@1 .7"),
    ("r5_iou50", "R@5 .5"),
    ("miou", "mIoU"),
)
_ROWS = (
    ("test", "wsra"),
    ("conjunctions", "  no single word decides"),
    ("seen_combinations", "  pairs seen in training"),
    ("unseen_combinations", "  pairs never seen"),
    ("skyline", "trained WITH spans"),
)
_CONTROLS = (
    ("chance", "a life at random"),
    ("prior", "best fixed window"),
    ("prior_life", "the life nearest to it"),
    ("shuffled", "other videos' sentences"),
    ("other_event", "another event's sentence"),
    ("longest_track", "the longest life"),
    ("largest_track", "the largest in the picture"),
    ("shuffled_training", "permuted captions"),
)


def figures_table(report: dict[str, Any]) -> Table:
    """A table of figures in percent, with the controls below."""
    table = plain_table(title="Held-out clips, percent", title_justify="left")
    table.add_column("")
    for _, heading in _COLUMNS:
        table.add_column(heading, justify="right")
    for rows, source in ((_ROWS, report), (_CONTROLS, report["controls"])):
        table.add_section()
        for name, label in rows:
            figures = source[name]
            table.add_row(label, *(f"{figures[key]:.1f}" if key != "queries" else str(figures[key]) for key, _ in _COLUMNS))
    return table


def demo_view(report: dict[str, Any], out: Path, *, width: int) -> RenderableType:
    """The figures, the answers with their curves beside the truth, and the path of the report.

    Args:
        report: the result of `run_demo`.
        out: the folder of the demo.
        width: width of the curves in characters.
    """
    parts: list[RenderableType] = [figures_table(report)]
    for example in report["examples"]:
        truth = ", ".join(f"{clock(start)} to {clock(end)}" for start, end in example["truth_s"])
        answer = example["answer_s"]
        marked = [(answer[0], answer[1])] if answer else []
        curve, times_s = np.array(example["curve"]), np.array(example["times_s"]).reshape(-1, 2)
        parts += [
            "",
            Styled(f"“{example['query']}”  in {example['video']}", "bold"),
            f"  answer {clock(answer[0])} to {clock(answer[1])}" if answer else "  no moment found",
            f"  truth  {truth}",
            curve_drawing(curve, times_s, example["duration_s"], width=width, marked=marked),
        ]
    return Group(*parts, "", f"report {out}/report.json; took {report['seconds']['total']:.0f} s. Try next:")


def next_commands(report: dict[str, Any], out: Path) -> list[str]:
    """Command lines to try after the demo in a folder."""
    video = report["examples"][0]["video"]
    return [
        f'wsra ground {video} "man in yellow shirt" -b {out}/bundle',
        f'wsra ground {out}/features "woman in red" -b {out}/bundle --json',
        f"wsra verify {out}/bundle --data {out}/spans-test.jsonl --features {out}/features",
        f"wsra info {out}/bundle",
        f"wsra train {out}/run.toml --out runs/mine --set training.epochs=30",
    ]
