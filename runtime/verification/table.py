"""The table that `wsra verify` prints: one row per route, and below it each route's worst query or the reason why it failed."""

from __future__ import annotations

from collections.abc import Mapping

from wsra.runtime.terminal.display import Group, RenderableType, Styled, plain_table
from wsra.runtime.verification.reports import PictureReport, RouteReport, Seconds


def verify_table(reports: Mapping[str, RouteReport]) -> RenderableType:
    """A table of the reports, and below it the worst query of each route, or why it failed."""
    table = plain_table()
    pictures = any(report.ms_per_picture is not None for report in reports.values())
    labelled = any(report.grounding is not None and report.grounding.labelled is not None for report in reports.values())
    for heading in (
        "route",
        "gate",
        "MB",
        "text cosine",
        "scores ±",
        "agree %",
        "presence %",
        *(("R@1 .5", "mIoU") if labelled else ()),
        "first ms",
        "ms/query",
        *(("ms/picture",) if pictures else ()),
    ):
        table.add_column(heading, justify="left" if heading in ("route", "gate") else "right")
    below = []
    for name, report in reports.items():
        table.add_row(name, *_row(report, labelled=labelled, pictures=pictures))
        if report.reason:
            below.append(Styled(f"{name}: {report.reason}", "red"))
        elif report.grounding is not None and report.grounding.worst.iou < 1:
            worst = report.grounding.worst
            answers = f"{_span(worst.found_s)}, PyTorch {_span(worst.expected_s)} (IoU {worst.iou:.2f})"
            below.append(Styled(f"{name}, worst query: “{worst.query}” in {worst.video}: {answers}", "dim"))
    return Group(table, *below)


def pictures_table(reports: Mapping[str, PictureReport]) -> RenderableType:
    """A table of the ways to run an encoder or a detector, and below it why one failed."""
    table = plain_table()
    for heading in ("route", "gate", "runs in", "pictures", "cosine", "boxes agree %", "their scores ±"):
        table.add_column(heading, justify="left" if heading in ("route", "gate", "runs in") else "right")
    for name, report in reports.items():
        cosine = report.vectors.cosine_mean if report.vectors is not None else None
        table.add_row(
            name,
            "passed" if report.passed else "FAILED",
            report.provider or "-",
            str(report.pictures) if report.ran else "-",
            f"{cosine:.5f}" if cosine is not None else "-",
            *([f"{report.boxes.agreement:.1f}", f"{report.boxes.score_mean:.0e}"] if report.boxes is not None else ["-", "-"]),
        )
    return Group(table, *(Styled(f"{name}: {report.reason}", "red") for name, report in reports.items() if report.reason))


def _row(report: RouteReport, *, labelled: bool, pictures: bool) -> list[str]:
    if report.grounding is None or report.tensors is None or report.bytes is None:
        return ["FAILED"] + ["-"] * (7 + 2 * labelled + pictures)
    text, scores, figures = report.tensors.get("text"), report.tensors.get("scores"), report.grounding.labelled
    return [
        "passed" if report.passed else "FAILED",
        f"{report.bytes / 1e6:.1f}",
        f"{text.cosine_mean:.5f}" if text and text.cosine_mean is not None else "-",
        f"{scores.max_abs:.0e}" if scores else "-",
        f"{report.grounding.agreement:.1f}",
        f"{report.grounding.presence:.1f}",
        *([f"{figures.r1_iou50:.1f}", f"{figures.miou:.1f}"] if figures else ["-", "-"] if labelled else []),
        f"{report.first_answer_ms:.0f}" if report.first_answer_ms is not None else "-",
        f"{report.ms_per_query:.1f}" if report.ms_per_query is not None else "-",
        *([f"{report.ms_per_picture:.2f}" if report.ms_per_picture is not None else "-"] if pictures else []),
    ]


def _span(span: Seconds | None) -> str:
    return f"{span[0]:g} to {span[1]:g} s" if span else "nothing"
