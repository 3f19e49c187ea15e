"""Clips that wsra wrote: what marks the JSON beside one, so that a search of the folder leaves the clip out."""

from __future__ import annotations

from pathlib import Path

from wsra.runtime.errors import DataError
from wsra.runtime.files.reading import read_json

FORMAT, VERSION = "wsra.clip", 1
CLIP = ".mp4"
_MOST = 1 << 20  # bytes of a JSON that is looked at; ours have a few thousand


def is_clip(file: Path) -> bool:
    """Whether a file is a clip that wsra wrote: an MP4 with a JSON of the same name beside it that says so."""
    beside = file.with_suffix(".json")
    if file.suffix != CLIP or not beside.is_file():
        return False
    try:
        table = read_json(beside, error=DataError, hint="expected the JSON of a clip", most=_MOST)
    except DataError:  # something else of that name, such as a camera's
        return False
    return isinstance(table, dict) and table.get("format") == FORMAT
