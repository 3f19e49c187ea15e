"""Names of clips: camera, wall clock and sentence, in characters that every file system and shell takes."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from wsra.runtime.drawing.curve_svg import clock
from wsra.runtime.evidence.exhibits import Exhibit, Part
from wsra.runtime.formats.wallclock import local

_LONGEST = 60  # bytes of one part of a name


def clip_name(exhibit: Exhibit, part: Part) -> str:
    """The name of a clip without its ending, such as gate-2_2026-11-23T14-05-10_man-in-yellow.

    Where the clock has a zone the time carries the offset: 2026-10-25T02-30-00+0100. Where no camera is known the name begins with the
    video, and where no clock is known it has the seconds of the video.
    """
    camera = exhibit.detection.camera if part.excerpt.start is not None else None
    where = camera or Path(part.excerpt.video).stem
    start = part.excerpt.start
    when = clock(part.excerpt.start_s).replace(":", "-") if start is None else f"{local(start):%Y-%m-%dT%H-%M-%S%z}"
    return "_".join((plain(where) or "video", when, plain(exhibit.query) or "moment"))


def unique(name: str, taken: set[str]) -> str:
    """A name that is not taken: itself, or with the first free number; it is taken from then on."""
    free = next(other for number in range(1, len(taken) + 2) if (other := name if number == 1 else f"{name}_{number}") not in taken)
    taken.add(free)
    return free


def plain(text: str) -> str:
    """A text as part of a file's name: letters and digits of any script, with a hyphen for everything else, at most 60 bytes."""
    letters = unicodedata.normalize("NFKC", text)
    words = "".join(letter if letter.isalnum() else " " for letter in letters).split()
    return "-".join(words).encode()[:_LONGEST].decode(errors="ignore").strip("-") if words else ""
