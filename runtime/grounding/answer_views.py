"""An answer as a notebook shows it, as a dictionary, and as a table of pandas."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsra.runtime.drawing.curve_svg import clock, curve_svg
from wsra.runtime.errors import MissingExtraError, VideoError
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.likelihood import in_words, likelihood
from wsra.runtime.spans.moments import Moment

if TYPE_CHECKING:
    from wsra.runtime.grounding.answers import Answer

_PICTURES = 5  # moments that get a picture
_PICTURE_PX = (320, 180)


def as_dict(answer: Answer) -> dict[str, Any]:
    """An answer as JSON holds it: the sentence, the moments with their word, and where nothing is found the best candidate."""
    return {
        "query": answer.query,
        "video": answer.video,
        "found": bool(answer.moments),
        "moments": [_row(moment, found=True) for moment in answer.moments],
        "best_candidate": None if answer.moments or answer.best is None else _row(answer.best, found=False),
        "hours": answer.hours,
    }


def _row(moment: Moment, *, found: bool) -> dict[str, Any]:
    return {**asdict(moment), "likelihood": likelihood(moment.confidence, found=found)}


def as_table(answer: Answer) -> Any:
    """The moments that are found as a `pandas.DataFrame`, one row each, the best first.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as err:
        raise MissingExtraError("pandas", "pandas", "to_pandas") from err
    columns = [*Moment.__dataclass_fields__, "likelihood"]
    return pandas.DataFrame([_row(moment, found=True) for moment in answer.moments], columns=columns)


def as_html(answer: Answer, name: str) -> str:
    """An answer in a notebook: the sentence, the moments, their pictures where the video is here, and the score curve.

    Args:
        answer: the answer.
        name: unique in the page.
    """
    moments = answer.moments or ([] if answer.best is None else [answer.best])
    found, duration_s = bool(answer.moments), float(answer.times_s[:, 1].max()) if len(answer.times_s) else 1.0
    lines = [f"<p><b>“{escape(answer.query)}”</b> in {escape(answer.video)}: {_verdict(answer)}</p>"]
    lines.append("<table><tr><th>#</th><th>how sure</th><th>start</th><th>end</th><th>score</th></tr>")
    for rank, moment in enumerate(moments, 1):
        cells = (rank, in_words(moment.confidence, found=found), clock(moment.start_s), clock(moment.end_s), f"{moment.score:.2f}")
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    lines.append("</table>")
    lines += _pictures(answer, moments[:_PICTURES])
    marked = [(moment.start_s, moment.end_s) for moment in answer.moments]
    lines.append(curve_svg(answer.curve, answer.times_s, duration_s, marked=marked, name=name, title=f"Scores for “{answer.query}”"))
    return "\n".join(lines)


def _verdict(answer: Answer) -> str:
    count = len(answer.moments)
    if count:
        return f"{count} moment{'s' if count > 1 else ''} found"
    return "not found" + ("" if answer.best is None else "; the best candidate:")


def _pictures(answer: Answer, moments: list[Moment]) -> list[str]:
    """The best frame of each moment with its box; nothing where the video is not beside its features, or cannot be read."""
    from wsra.runtime.drawing.sources import find_video

    source = read_features(answer.source) if isinstance(answer.source, Path) else answer.source
    video = find_video(source) if source is not None else None
    if video is None or not moments:
        return []
    try:
        return _read_pictures(video, moments)
    except (VideoError, ImportError, MissingExtraError) as err:
        return [f"<p>no pictures: {escape(str(err))}</p>"]


def _read_pictures(video: Path, moments: list[Moment]) -> list[str]:
    from wsra.runtime.drawing.boxes import data_uri, fitted, jpeg, with_box
    from wsra.runtime.files.limits import PIXELS
    from wsra.runtime.video.stills import stills

    times_s = [(moment.start_s + moment.end_s) / 2 if moment.best_s is None else moment.best_s for moment in moments]
    lines = []
    for rank, (moment, time_s, frame) in enumerate(zip(moments, times_s, stills(video, times_s, height_px=PIXELS), strict=True), 1):
        picture = fitted(frame.image, *_PICTURE_PX)
        shown = data_uri(jpeg(picture if moment.box is None else with_box(picture, moment.box)))
        lines.append(f'<img src="{shown}" alt="Frame of moment {rank} at {clock(time_s)}" style="display:inline;margin:2px">')
    return lines
