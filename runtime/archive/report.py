"""Answers for people: a table, the score curve in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from wsra.runtime.archive.answering import Result
from wsra.runtime.archive.detections import Detection
from wsra.runtime.archive.search import SearchResults
from wsra.runtime.formats.wallclock import instant
from wsra.runtime.grounding.likelihood import in_words, percent
from wsra.runtime.spans.moments import Moment
from wsra.runtime.terminal.display import Group, RenderableType, Styled, Table, clock, plain_table

CURVE_ROWS = 4
WIDE = 100  # columns from which on every figure is shown
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def moments_table(detections: Sequence[Detection], *, width: int, found: bool = True) -> Table:
    """A table of moments, best first; with camera and local time where they are known.

    Args:
        detections: the moments.
        width: columns of the terminal. Below `WIDE` the score and the place in the picture are left out, and where camera and local time
            say which recording it is, the video, too: only the name of a video is ever shortened.
        found: False for a best candidate, which has no word.
    """
    table, wide = plain_table(), width >= WIDE
    cameras, clocks = any(seen.camera for seen in detections), any(seen.start for seen in detections)
    boxes = wide and any(seen.moment.box for seen in detections)
    videos = wide or not (cameras and clocks)
    for heading in ["#", "start", "end"] + ["score"] * wide + ["confidence", "false alarms" if wide else "false"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ["where"] * boxes + ["camera"] * cameras + ["at"] * clocks:
        table.add_column(heading, no_wrap=True)
    if videos:
        table.add_column("video", overflow="ellipsis")
    for number, seen in enumerate(detections, 1):
        moment, until = seen.moment, seen.until
        cells = [str(number), clock(moment.start_s), clock(until.end_s if until else moment.end_s)]
        cells += [f"{moment.score:.2f}"] * wide
        cells += [
            in_words(moment.confidence, found=True) if found else percent(moment.confidence),
            f"{rate(moment.false_alarms_per_hour)}/h",
        ]
        at = "" if seen.start is None else f"{instant(seen.start).astimezone():%Y-%m-%d %H:%M:%S}"
        video = f"{moment.video} to {until.video}" if until else moment.video
        table.add_row(*cells, *[where_in_picture(moment)] * boxes, *[seen.camera or ""] * cameras, *[at] * clocks, *[video] * videos)
    return table


def hours_in_words(hours: float) -> str:
    """A length of video in the unit that suits it."""
    for unit, each in (("days", 24.0), ("hours", 1.0), ("minutes", 1 / 60)):
        if hours >= 2 * each:
            return f"{hours / each:.3g} {unit}"
    return f"{hours * 3600:.3g} seconds"


def rate(per_hour: float) -> str:
    """Moments per hour with two digits, or as a whole number; below one in a thousand hours as such."""
    if per_hour >= 10:
        return f"{per_hour:.0f}"
    return f"{per_hour:.2g}" if per_hour >= 0.001 else "<0.001"


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


def answer_view(result: Result, found: SearchResults, *, width: int) -> RenderableType:
    """What `ground` shows for one query: notes, the table, then the curve of each recording in it, at most `width` columns wide."""
    parts: list[RenderableType] = [Styled(f"“{result.query}”", "bold")]
    parts += [Styled(f"note: {note.text}", "yellow") for note in result.notes]
    if result.detections:
        parts.append(moments_table(result.detections, width=width))
    elif result.best is not None:
        parts += [
            f"not found in {hours_in_words(found.hours)} of video; the best candidate:",
            moments_table([result.best], width=width, found=False),
        ]
    else:
        parts.append(f"not found in {hours_in_words(found.hours)} of video: it holds no candidate")
    if found.calibration == "rendered scenes":
        parts.append(Styled("confidence was calibrated on rendered scenes and is a rough guide: see wsra calibrate", "dim"))
    for curve in result.curves:
        drawing = curve_drawing(curve.curve, curve.times_s, curve.duration_s, width=width, marked=curve.marked)
        parts += [Styled(curve.title, "dim"), drawing]
    return Group(*parts)
