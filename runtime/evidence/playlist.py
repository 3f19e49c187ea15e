"""The moments as a list for other programs: M3U8 for players, an EDL (CMX 3600) for video editors, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from wsra.runtime.drawing.curve_svg import clock
from wsra.runtime.errors import VideoError
from wsra.runtime.evidence.exhibits import Exhibit, Part, Source
from wsra.runtime.files.writing import replacing
from wsra.runtime.grounding.likelihood import in_words, likelihood
from wsra.runtime.terminal.console import visible
from wsra.runtime.video.container import open_container, video_stream

logger = logging.getLogger(__name__)

_RATE = 25  # frames per second of an EDL where no video is here
_HOUR_1_S = 3600  # where an EDL's own clock begins, as editors expect
COLUMNS = (
    *("query", "rank", "likelihood", "confidence", "false_alarms_per_hour", "score", "camera", "start_time"),
    *("video", "start_s", "end_s", "until_video", "until_s", "file"),
)


def write_playlist(exhibits: Sequence[Exhibit], path: Path) -> None:
    """Write the moments that are found, in their order, as the ending of the file says.

    Raises:
        OutputError: the file cannot be written.
    """
    found = [exhibit for exhibit in exhibits if exhibit.found]
    text = WRITERS[path.suffix.lower()](found)
    with replacing(path) as place, place.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def listed(parts: Sequence[Part], path: Path) -> list[Part]:
    """The parts of moments that a list holds: all of them, but in an M3U8, which names the videos, those whose video is here."""
    return [part for part in parts if path.suffix.lower() != ".m3u8" or part.source.file is not None]


def m3u8(exhibits: Sequence[Exhibit]) -> str:
    """A playlist of VLC: the videos themselves, each from the start of a moment to its end. Moments without their video are left out."""
    lines = ["#EXTM3U"]
    for exhibit in exhibits:
        for part in exhibit.parts:
            if part.source.file is None:
                continue
            excerpt = part.excerpt
            lines += [
                f"#EXTINF:{max(1, round(part.length_s))},{_title(exhibit)}",
                f"#EXTVLCOPT:start-time={excerpt.start_s:.3f}",
                f"#EXTVLCOPT:stop-time={excerpt.end_s:.3f}",
                part.source.file.resolve().as_uri(),
            ]
    return "\n".join(lines) + "\n"


def edl(exhibits: Sequence[Exhibit]) -> str:
    """An edit decision list as CMX 3600: cuts on one picture track, one after the other, at the frame rate of the first video."""
    rate = _rate_of(exhibits)
    shown = _HOUR_1_S * rate
    lines = ["TITLE: WSRA MOMENTS", "FCM: NON-DROP FRAME", ""]
    parts = [(exhibit, part) for exhibit in exhibits for part in exhibit.parts]
    for number, (exhibit, part) in enumerate(parts, 1):
        excerpt = part.excerpt
        first, last = round(excerpt.start_s * rate), round(excerpt.end_s * rate)
        times = " ".join(timecode(frame, rate) for frame in (first, last, shown, shown + last - first))
        lines += [f"{number:03d}  AX       V     C        {times}"]
        lines += [f"* FROM CLIP NAME: {_line(Path(excerpt.video).name)}", f"* COMMENT: {_title(exhibit)}", ""]
        shown += last - first
    return "\r\n".join(lines) + "\r\n"


def table(exhibits: Sequence[Exhibit]) -> str:
    """A table with a line per moment. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for exhibit in exhibits:
        seen, moment = exhibit.detection, exhibit.detection.moment
        start = "" if seen.start is None else seen.start.isoformat(timespec="seconds")
        until = ("", "") if seen.until is None else (_cell(seen.until.video), f"{seen.until.end_s:.3f}")
        file = exhibit.parts[0].source.file if exhibit.parts else None
        writer.writerow(
            [
                *(_cell(exhibit.query), exhibit.rank, likelihood(moment.confidence, found=True), moment.confidence),
                *(moment.false_alarms_per_hour, moment.score, _cell(seen.camera or ""), start),
                *(_cell(moment.video), f"{moment.start_s:.3f}", f"{moment.end_s:.3f}", *until, "" if file is None else _cell(str(file))),
            ]
        )
    return text.getvalue()


WRITERS: dict[str, Callable[[Sequence[Exhibit]], str]] = {".m3u8": m3u8, ".edl": edl, ".csv": table}


def timecode(frame: int, rate: int) -> str:
    """The number of a frame as hh:mm:ss:ff, no frames dropped."""
    whole, frames = divmod(frame, rate)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{frames:02d}"


def _rate_of(exhibits: Sequence[Exhibit]) -> int:
    """Frames per second of the first video that is here, as a whole number; a warning where another one differs."""
    sources = {part.source.feat: part.source for exhibit in exhibits for part in exhibit.parts}
    rates = {source.video: rate for source in sources.values() if (rate := _frames_per_s(source)) is not None}
    if len(set(rates.values())) > 1:
        shown = ", ".join(f"{video} {rate}" for video, rate in list(rates.items())[:3])
        logger.warning(f"an EDL has one frame rate, that of the first video, but these differ: {shown}; use .csv or .m3u8 for exact times")
    return next(iter(rates.values()), _RATE)


def _frames_per_s(source: Source) -> int | None:
    if source.file is None:
        return None
    try:
        with open_container(source.file) as container:
            rate = video_stream(container).average_rate
    except VideoError:
        return None
    return max(1, round(rate)) if rate else None


def _title(exhibit: Exhibit) -> str:
    moment = exhibit.detection.moment
    words = in_words(moment.confidence, found=exhibit.found)
    when = exhibit.clock or clock(moment.start_s)
    return _line(" | ".join(part for part in (exhibit.query, words, exhibit.detection.camera, when) if part))


def _line(text: str) -> str:
    """A text in one line, without characters that move or hide others."""
    return visible(" ".join(text.split()))


def _cell(text: str) -> str:
    shown = visible(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
