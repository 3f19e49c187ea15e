"""The closing report of `wsra demo`: figures beside controls, three answers beside the truth, and commands to try next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.archive.report import curve_drawing
from wsra.runtime.terminal.display import Styled, Table, clock, plain_table, stdout_console

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


def show_demo(report: dict[str, Any], out: Path) -> None:
    """Print the report on stdout."""
    console = stdout_console()
    console.print(figures_table(report))
    for example in report["examples"]:
        truth = ", ".join(f"{clock(start)} to {clock(end)}" for start, end in example["truth_s"])
        answer = example["answer_s"]
        console.print()
        console.print(Styled(f"“{example['query']}”  in {example['video']}", "bold"))
        console.print(f"  answer {clock(answer[0])} to {clock(answer[1])}" if answer else "  no moment found")
        console.print(f"  truth  {truth}")
        marked = [(answer[0], answer[1])] if answer else []
        curve, times_s = np.array(example["curve"]), np.array(example["times_s"]).reshape(-1, 2)
        console.print(curve_drawing(curve, times_s, example["duration_s"], width=min(console.width, 100), marked=marked))
    video = report["examples"][0]["video"]
    console.print()
    console.print(f"report {out}/report.json; took {report['seconds']['total']:.0f} s. Try next:")
    for command in (
        f'wsra ground {video} "man in yellow shirt" -b {out}/bundle',
        f'wsra ground {out}/features "woman in red" -b {out}/bundle --json',
        f"wsra verify {out}/bundle --data {out}/spans-test.jsonl --features {out}/features",
        f"wsra info {out}/bundle",
        f"wsra train {out}/run.toml --out runs/mine --set training.epochs=30",
    ):
        console.print(f"  {command}", soft_wrap=True)
