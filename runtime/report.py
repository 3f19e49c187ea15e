"""Answers for people: a table, the score curve in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from wsra.runtime.archive.ranking import Result
from wsra.runtime.archive.sightings import Sighting
from wsra.runtime.display import Group, RenderableType, Styled, Table, plain_table
from wsra.runtime.video.wallclock import instant

CURVE_ROWS = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.s, rounded to a tenth."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}.{rest % 10}"


def moments_table(sightings: Sequence[Sighting]) -> Table:
    """A table of moments, best first; with camera and local time where one of them is known."""
    table = plain_table()
    for heading in ("#", "start", "end", "score"):
        table.add_column(heading, justify="right")
    cameras, clocks = any(seen.camera for seen in sightings), any(seen.start for seen in sightings)
    for heading in ["camera"] * cameras + ["at"] * clocks + ["video"]:
        table.add_column(heading)
    for number, seen in enumerate(sightings, 1):
        moment, until = seen.moment, seen.until
        cells = [str(number), clock(moment.start_s), clock(until.end_s if until else moment.end_s), f"{moment.score:.2f}"]
        at = "" if seen.start is None else f"{instant(seen.start).astimezone():%Y-%m-%d %H:%M:%S}"
        video = f"{moment.video} to {until.video}" if until else moment.video
        table.add_row(*cells, *[seen.camera or ""] * cameras, *[at] * clocks, video)
    return table


def curve_drawing(
    curve: NDArray[np.float64], times_s: NDArray[np.float64], duration_s: float, *, width: int, best: tuple[float, float] | None
) -> Text:
    """The score curve of a whole video over time: what speaks for the sentence, as bars; the best moment underlined.

    Args:
        curve: (T,) logit - theta per snippet.
        times_s: (T, 2) of the snippets.
        duration_s: of the video.
        width: columns to draw in.
        best: start and end of the best moment in seconds, or None.
    """
    columns = max(1, min(width, round(duration_s / float(np.median(times_s[:, 1] - times_s[:, 0])))))
    column = np.clip((times_s.mean(axis=1) / duration_s * columns).astype(int), 0, columns - 1)
    peaks = np.zeros(columns)
    np.maximum.at(peaks, column, curve)
    levels = peaks / max(float(peaks.max()), 1e-9) * CURVE_ROWS * 8
    text = Text()
    for row in range(CURVE_ROWS - 1, -1, -1):
        text.append("".join(_EIGHTHS[int(np.clip(np.ceil(level) - row * 8, 0, 8))] for level in levels), style="cyan")
        text.append("\n")
    if best is not None:
        first, last = (min(columns, round(seconds / duration_s * columns)) for seconds in best)
        first, last = min(first, columns - 1), max(last, first + 1)
        text.append(" " * first + "▔" * (last - first), style="bold yellow")
        text.append("\n")
    end = clock(duration_s)
    text.append("0:00:00.0" + end.rjust(max(columns - 9, len(end) + 1)), style="dim")
    return text


def answer_view(result: Result, *, width: int) -> RenderableType:
    """What `ground` shows for one query: the table, then the curve of each recording in it, at most `width` columns wide."""
    parts: list[RenderableType] = [Styled(f"“{result.query}”", "bold")]
    if not result.sightings:
        parts.append("no moment found: nothing in the video speaks for the sentence")
    else:
        parts.append(moments_table(result.sightings))
    for curve in result.curves:
        drawing = curve_drawing(curve.curve, curve.times_s, curve.duration_s, width=width, best=curve.best)
        parts += [Styled(curve.title, "dim"), drawing]
    return Group(*parts)
