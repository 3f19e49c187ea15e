"""The closing report of `wsra demo`: figures beside controls, three answers beside the truth, and commands to try next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wsra.runtime.archive.report import curve_drawing
from wsra.runtime.terminal.display import Group, RenderableType, Styled, Table, clock, plain_table

_COLUMNS = (
    ("queries", "queries"),
    ("unanswered", "no answer"),
    ("r1_iou30", "R@1 .3"),
    ("r1_iou50", "R@1 .5"),
    ("r1_iou70", "R@1 .7"),
    ("r5_iou50", "R@5 .5"),
    ("miou", "mIoU"),
)
_COUNTS = ("queries", "unanswered")
_ROWS = (
    ("test", "wsra"),
    ("conjunctions", "  no single word decides"),
    ("seen_combinations", "  pairs seen in training"),
    ("unseen_combinations", "  pairs never seen"),
    ("test_forced", "  an answer forced"),
    ("skyline", "trained WITH spans, forced"),
)
# Name, label in the table, and what the control shows.
_CONTROLS = (
    ("random_event", "a true event at random", "what a perfect detector reaches that ignores the sentence"),
    ("kind_only", "knows the kind only", "what a perfect eye for kinds reaches that sees no colour"),
    ("kind_only_conjunctions", "  no single word decides", "the same, where other events share the kind and others the colour"),
    ("colour_only", "knows the colour only", "what a perfect eye for colours reaches that sees no kind"),
    ("colour_only_conjunctions", "  no single word decides", "the same, where other events share the kind and others the colour"),
    ("chance", "a life at random", "what the tracker's candidates alone give"),
    ("prior", "best fixed window", "what the usual time of events gives away (it has seen true spans)"),
    ("prior_life", "the life nearest to it", "the same, with the tracker's candidates"),
    ("longest_track", "the longest life", "what it gives to prefer whoever stays long"),
    ("largest_track", "the largest in the picture", "what it gives to prefer whoever is large"),
    ("shuffled", "other videos' sentences", "how many wrong sentences the bundle leaves unanswered; these count 0"),
    ("shuffled_forced", "  an answer forced", "the sentence decides: a wrong one is worth a life at random"),
    ("other_event", "another event's sentence", "the sentence decides: it finds its own event, not this one (forced)"),
    ("shuffled_training", "permuted captions", "captions alone teach: wrong ones give a life at random (forced)"),
)


def figures_table(report: dict[str, Any]) -> Table:
    """A table of figures in percent, with the controls below."""
    table = plain_table(title="Held-out clips, percent; a query without an answer counts 0", title_justify="left")
    table.add_column("")
    for _, heading in _COLUMNS:
        table.add_column(heading, justify="right")
    labels = tuple((name, label) for name, label, _ in _CONTROLS)
    for rows, source in ((_ROWS, report), (labels, report["controls"])):
        table.add_section()
        for name, label in rows:
            figures = source[name]
            table.add_row(label, *(str(figures[key]) if key in _COUNTS else f"{figures[key]:.1f}" for key, _ in _COLUMNS))
    return table


def controls_explained() -> Table:
    """One line on what each control shows."""
    table = plain_table(title="What each control shows", title_justify="left", show_header=False)
    table.add_column("", no_wrap=True)
    table.add_column("")
    for _, label, shows in _CONTROLS:
        table.add_row(label, shows)
    return table


def demo_view(report: dict[str, Any], out: Path, *, width: int) -> RenderableType:
    """The figures, the answers with their curves beside the truth, and the path of the report.

    Args:
        report: the result of `run_demo`.
        out: the folder of the demo.
        width: width of the curves in characters.
    """
    parts: list[RenderableType] = [figures_table(report), "", controls_explained()]
    parts += [Styled(f"a control is not sound: {message}", "bold") for message in report["failed_checks"]]
    for example in report["examples"]:
        truth = ", ".join(f"{clock(start)} to {clock(end)}" for start, end in example["truth_s"])
        answer = example["answer_s"]
        marked = [(answer[0], answer[1])] if answer else []
        curve, times_s = np.array(example["curve"]), np.array(example["times_s"]).reshape(-1, 2)
        parts += [
            "",
            Styled(f"“{example['query']}”  in {example['video']}", "bold"),
            f"  answer {clock(answer[0])} to {clock(answer[1])}" if answer else "  not found",
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
