"""What `wsra verify` shows: one row per way to run the bundle, and below what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsra.runtime.terminal.display import Group, RenderableType, Styled, plain_table


def verify_table(entries: Mapping[str, dict[str, Any]]) -> RenderableType:
    """A table of what was found, and for each route its worst query or the reason of its failure."""
    table = plain_table()
    labelled = any("labelled" in entry.get("grounding", {}) for entry in entries.values())
    for heading in ("route", "gate", "MB", "text cosine", "scores ±", "agree %", *(("R@1 .5", "mIoU") if labelled else ()), "ms/query"):
        table.add_column(heading, justify="left" if heading in ("route", "gate") else "right")
    below = []
    for name, entry in entries.items():
        table.add_row(name, *_row(entry, labelled=labelled))
        if entry["reason"]:
            below.append(Styled(f"{name}: {entry['reason']}", "red"))
        elif entry["grounding"]["worst"]["iou"] < 1:
            worst = entry["grounding"]["worst"]
            told = f"{_span(worst['found_s'])}, PyTorch {_span(worst['expected_s'])} (IoU {worst['iou']:.2f})"
            below.append(Styled(f"{name}, worst query: “{worst['query']}” in {worst['video']}: {told}", "dim"))
    return Group(table, *below)


def _row(entry: dict[str, Any], *, labelled: bool) -> list[str]:
    if "grounding" not in entry:
        return ["FAILED"] + ["-"] * (7 if labelled else 5)
    figures = entry["grounding"].get("labelled")
    return [
        "passed" if entry["passed"] else "FAILED",
        f"{entry['bytes'] / 1e6:.1f}",
        f"{entry['tensors']['text']['cosine_mean']:.5f}" if "text" in entry["tensors"] else "-",
        f"{entry['tensors']['scores']['max_abs']:.0e}" if "scores" in entry["tensors"] else "-",
        f"{entry['grounding']['agreement']:.1f}",
        *([f"{figures['r1_iou50']:.1f}", f"{figures['miou']:.1f}"] if figures else ["-", "-"] if labelled else []),
        f"{entry['ms_per_query']:.1f}" if "ms_per_query" in entry else "-",
    ]


def _span(span: list[float] | None) -> str:
    return f"{span[0]:g} to {span[1]:g} s" if span else "nothing"
