"""The report: one HTML file that needs no network and no script, with the moments, their pictures, and where all of it comes from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.archive.report import hours_in_words, rate, where_in_picture
from wsra.runtime.archive.search import SearchResults
from wsra.runtime.drawing.boxes import data_uri, jpeg
from wsra.runtime.drawing.curve_svg import clock, curve_svg
from wsra.runtime.evidence.care import Care, care_of
from wsra.runtime.evidence.exhibits import Exhibit
from wsra.runtime.evidence.pictures import Still, pictures_of
from wsra.runtime.evidence.provenance import Provenance
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.bundle import read_manifest
from wsra.runtime.grounding.likelihood import in_words, percent
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.terminal.console import visible

logger = logging.getLogger(__name__)

_BEST_PX = (640, 480)  # at most, width and height


@dataclass(frozen=True)
class Image:
    """A picture in the page: its bytes as a data URI, what it shows in words, and its caption."""

    src: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class MomentView:
    """A moment as the page shows it; every text is ready to be read."""

    number: str
    rank: int
    found: bool
    words: str
    start: str
    end: str
    clock: str
    camera: str
    where: str
    video: str
    false_alarms: str
    score: str
    best: Image | None
    strip: tuple[Image, ...]
    missing: str


@dataclass(frozen=True)
class SentenceView:
    """A sentence as the page shows it."""

    number: int
    query: str
    verdict: str
    notes: tuple[str, ...]
    curves: tuple[tuple[str, str], ...]
    moments: tuple[MomentView, ...]


def write_report(
    exhibits: Sequence[Exhibit],
    found: SearchResults,
    provenance: Provenance,
    path: Path,
    *,
    false_alarms: float | None,
    progress: Progress = unseen,
) -> None:
    """Write the page.

    Args:
        exhibits: the moments, sentence by sentence.
        found: the answer.
        provenance: of the answer.
        path: the file.
        false_alarms: per hour that were accepted; None for moments of a confidence above 1/2.
        progress: called with "pictures".

    Raises:
        OutputError: the file cannot be written.
        MissingExtraError: Jinja2, PyAV or OpenCV is not installed.
    """
    moments = []
    for done, exhibit in enumerate(exhibits, 1):
        moments.append(_moment(exhibit))
        progress("pictures", done, len(exhibits))
    sentences = tuple(_sentence(number, exhibits, moments, found) for number in range(len(found.results)))
    care = care_of(read_manifest(found.ran.bundle), found.hours, false_alarms)
    with replacing(path) as place:
        place.write_text(page(sentences, provenance, care), encoding="utf-8")


def page(sentences: Sequence[SentenceView], provenance: Provenance, care: Care) -> str:
    """The whole page; every text is escaped by Jinja2, and characters that move or hide others are shown as escapes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("wsra.runtime.evidence", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.finalize = lambda value: visible(value) if type(value) is str else value
    return environment.get_template("report.html").render(sentences=sentences, provenance=provenance, care=care)


def _sentence(number: int, exhibits: Sequence[Exhibit], moments: Sequence[MomentView], found: SearchResults) -> SentenceView:
    result, length = found.results[number], hours_in_words(found.hours)
    count = len(result.detections)
    if count:
        verdict = f"{count} moment{'s' if count > 1 else ''} found in {length} of video, the best first."
    elif result.best is not None:
        verdict = f"Not found in {length} of video. The best candidate is shown so that you can judge for yourself."
    else:
        verdict = f"Not found in {length} of video: it holds no candidate."
    curves = tuple(
        (
            curve.title,
            curve_svg(
                curve.curve,
                curve.times_s,
                curve.duration_s,
                marked=curve.marked,
                name=f"curve-{number + 1}-{place}",
                title=visible(f"Score curve of {curve.title} for “{result.query}”"),
            ),
        )
        for place, curve in enumerate(result.curves, 1)
    )
    own = tuple(view for exhibit, view in zip(exhibits, moments, strict=True) if exhibit.sentence == number)
    return SentenceView(number + 1, result.query, verdict, tuple(note.text for note in result.notes), curves, own)


def _moment(exhibit: Exhibit) -> MomentView:
    seen, moment = exhibit.detection, exhibit.detection.moment
    pictures, name = pictures_of(exhibit), f"moment {exhibit.rank}" if exhibit.found else "the best candidate"
    best = None
    if pictures.best is not None:
        at = clock(pictures.best.time_s)
        what = f"; the box marks the object that was scored for “{exhibit.query}”" if pictures.best.box is not None else ""
        best = _image(pictures.best, f"Frame of {name} at {at} of {moment.video}{what}", f"Best frame, at {at}")
    strip = tuple(
        _image(still, f"{'Crop' if moment.box else 'Frame'} {place} of {len(pictures.strip)} of {name}, at {clock(still.time_s)}",
               clock(still.time_s))
        for place, still in enumerate(pictures.strip, 1)
    )  # fmt: skip
    return MomentView(
        number=f"{exhibit.sentence + 1}-{exhibit.rank}",
        rank=exhibit.rank,
        found=exhibit.found,
        words=in_words(moment.confidence, found=True) if exhibit.found else f"Best candidate (not found), {percent(moment.confidence)}",
        start=clock(moment.start_s),
        end=clock(seen.until.end_s if seen.until else moment.end_s),
        clock=exhibit.clock,
        camera=seen.camera or "",
        where=where_in_picture(moment),
        video=f"{moment.video} to {seen.until.video}" if seen.until else moment.video,
        false_alarms=f"{rate(moment.false_alarms_per_hour)} per hour",
        score=f"{moment.score:.2f}",
        best=best,
        strip=strip,
        missing=pictures.missing,
    )


def _image(still: Still, alt: str, caption: str) -> Image:
    picture = still.boxed(*_BEST_PX)
    return Image(data_uri(jpeg(picture)), alt, caption, picture.shape[1], picture.shape[0])
