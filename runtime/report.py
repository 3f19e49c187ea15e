"""Answers for people: a table, the score curve in the terminal; and for programs: JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsra.runtime.ground import Answer, Grounder
from wsra.runtime.moments import Moment

CURVE_ROWS = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.s, rounded to a tenth."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}.{rest % 10}"


def moments_table(moments: Sequence[Moment]) -> Table:
    """A table of moments, best first."""
    table = Table(box=None, pad_edge=False)
    for heading in ("#", "start", "end", "score"):
        table.add_column(heading, justify="right")
    table.add_column("video")
    for number, moment in enumerate(moments, 1):
        table.add_row(str(number), clock(moment.start_s), clock(moment.end_s), f"{moment.score:.2f}", Text(moment.video))
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


def answer_view(query: str, answers: Sequence[Answer], durations_s: Sequence[float], moments: Sequence[Moment]) -> RenderableType:
    """What `ground` shows for one query.

    Args:
        query: the sentence.
        answers: one per video.
        durations_s: of each video.
        moments: of all videos, best first.
    """
    width = min(Console().width, 100)
    parts: list[RenderableType] = [Text(f"“{query}”", style="bold")]
    if not moments:
        parts.append(Text("no moment found: nothing in the video speaks for the sentence"))
    else:
        parts.append(moments_table(moments))
    for answer, duration_s in zip(answers, durations_s, strict=True):
        if len(answers) > 1 and not answer.moments:
            continue
        best = (answer.moments[0].start_s, answer.moments[0].end_s) if answer.moments else None
        parts += [Text(answer.video, style="dim"), curve_drawing(answer.curve, answer.times_s, duration_s, width=width, best=best)]
    return Group(*parts)


def answer_json(query: str, moments: Sequence[Moment], grounder: Grounder) -> dict[str, Any]:
    """What `ground --json` prints for one query."""
    return {
        "query": query,
        "found": bool(moments),
        "moments": [{"video": m.video, "start_s": m.start_s, "end_s": m.end_s, "score": m.score} for m in moments],
        "bundle": str(grounder.bundle),
        "precision": grounder.precision,
        "provider": grounder.scorer.provider,
        "device": grounder.scorer.device,
        "kernel": grounder.scorer.kernel,
    }
