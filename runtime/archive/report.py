"""Answers for people: a table, the score curve in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from wsra.runtime.archive.answering import Result
from wsra.runtime.archive.detections import Detection
from wsra.runtime.formats.wallclock import instant
from wsra.runtime.spans.moments import Moment
from wsra.runtime.terminal.display import Group, RenderableType, Styled, Table, clock, plain_table

CURVE_ROWS = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def moments_table(detections: Sequence[Detection]) -> Table:
    """A table of moments, best first; with camera and local time where one of them is known."""
    table = plain_table()
    for heading in ("#", "start", "end", "score"):
        table.add_column(heading, justify="right")
    cameras, clocks = any(seen.camera for seen in detections), any(seen.start for seen in detections)
    boxes = any(seen.moment.box for seen in detections)
    for heading in ["where"] * boxes + ["camera"] * cameras + ["at"] * clocks + ["video"]:
        table.add_column(heading)
    for number, seen in enumerate(detections, 1):
        moment, until = seen.moment, seen.until
        cells = [str(number), clock(moment.start_s), clock(until.end_s if until else moment.end_s), f"{moment.score:.2f}"]
        at = "" if seen.start is None else f"{instant(seen.start).astimezone():%Y-%m-%d %H:%M:%S}"
        video = f"{moment.video} to {until.video}" if until else moment.video
        table.add_row(*cells, *[where_in_picture(moment)] * boxes, *[seen.camera or ""] * cameras, *[at] * clocks, video)
    return table


def where_in_picture(moment: Moment) -> str:
    """In which third of the picture the object is when it is seen best: left, middle or right; "" where no box is known."""
    if moment.box is None:
        return ""
    return ("left", "middle", "right")[min(2, int((moment.box[0] + moment.box[2]) / 2 * 3))]


def curve_drawing(
    curve: NDArray[np.float64], times_s: NDArray[np.float64], duration_s: float, *, width: int, marked: Sequence[tuple[float, float]]
) -> Text:
    """The score curve of a whole video over time: what speaks for the sentence, as bars; moments underlined, the best in bold.

    Args:
        curve: (T,) logit - theta per row.
        times_s: (T, 2) of the rows.
        duration_s: of the video.
        width: columns to draw in.
        marked: start and end of each moment in seconds, the best first.
    """
    step_s = float(np.median(times_s[:, 1] - times_s[:, 0])) if len(times_s) else 1.0
    columns = max(1, min(width, round(duration_s / step_s)))
    column = np.clip((times_s.mean(axis=1) / duration_s * columns).astype(int), 0, columns - 1)
    peaks = np.zeros(columns)
    np.maximum.at(peaks, column, curve)
    levels = peaks / max(float(peaks.max()), 1e-9) * CURVE_ROWS * 8
    text = Text()
    for row in range(CURVE_ROWS - 1, -1, -1):
        text.append("".join(_EIGHTHS[int(np.clip(np.ceil(level) - row * 8, 0, 8))] for level in levels), style="cyan")
        text.append("\n")
    if marked:
        text.append(_underlines(marked, duration_s, columns))
        text.append("\n")
    end = clock(duration_s)
    text.append("0:00:00.0" + end.rjust(max(columns - 9, len(end) + 1)), style="dim")
    return text


def _underlines(marked: Sequence[tuple[float, float]], duration_s: float, columns: int) -> Text:
    line = np.zeros(columns, int)  # 0 nothing, 1 a moment, 2 the best
    for rank, span in reversed(list(enumerate(marked))):
        first, last = (min(columns, round(seconds / duration_s * columns)) for seconds in span)
        first = min(first, columns - 1)
        line[first : max(last, first + 1)] = 1 if rank else 2
    text = Text()
    for kind in line[: int(np.flatnonzero(line)[-1]) + 1].tolist():
        text.append(" ▔▔"[kind], style=("", "yellow", "bold yellow")[kind])
    return text


def answer_view(result: Result, *, width: int) -> RenderableType:
    """What `ground` shows for one query: the table, then the curve of each recording in it, at most `width` columns wide."""
    parts: list[RenderableType] = [Styled(f"“{result.query}”", "bold")]
    if not result.detections:
        parts.append("no moment found: nothing in the video speaks for the sentence")
    else:
        parts.append(moments_table(result.detections))
    for curve in result.curves:
        drawing = curve_drawing(curve.curve, curve.times_s, curve.duration_s, width=width, marked=curve.marked)
        parts += [Styled(curve.title, "dim"), drawing]
    return Group(*parts)
