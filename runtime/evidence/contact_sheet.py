"""A contact sheet: the best frames of an answer with box, time and confidence in one PNG, for a chat message."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsra.runtime.drawing.boxes import Picture, fitted
from wsra.runtime.drawing.curve_svg import clock
from wsra.runtime.evidence.exhibits import Exhibit
from wsra.runtime.evidence.pictures import Still, pictures_of
from wsra.runtime.files.writing import replacing
from wsra.runtime.grounding.likelihood import in_words
from wsra.runtime.progress import Progress, unseen

_CELL_PX = (400, 240)  # width and height of a picture
_TEXT_PX, _GAP_PX, _TITLE_PX = 50, 12, 34
_COLUMNS = 3
_LIGHT, _DARK, _GREY = (245, 245, 245), (32, 32, 32), (110, 110, 110)


def write_contact_sheet(exhibits: Sequence[Exhibit], path: Path, *, progress: Progress = unseen) -> None:
    """Write the best frame of each moment; where nothing is found that of the best candidate, which is called so.

    Args:
        exhibits: the moments, sentence by sentence.
        path: the PNG.
        progress: called with "pictures".

    Raises:
        OutputError: the file cannot be written.
        MissingExtraError: PyAV or OpenCV is not installed.
    """
    import cv2

    rows: list[Picture] = []
    columns = max([1, *(min(_COLUMNS, count) for count in Counter(exhibit.sentence for exhibit in exhibits).values())])
    for sentence in dict.fromkeys(exhibit.sentence for exhibit in exhibits):
        same = [exhibit for exhibit in exhibits if exhibit.sentence == sentence]
        cells = []
        for exhibit in same:
            cells.append(_cell(exhibit, pictures_of(exhibit, crops=0).best))
            progress("pictures", len(cells), len(same))
        rows.append(_title(same[0].query, columns))
        rows += [_row(cells[first : first + columns], columns) for first in range(0, len(cells), columns)]
    sheet = np.concatenate(rows) if rows else _title("nothing to show: there is no candidate", 1)
    content = cv2.imencode(".png", sheet)[1].tobytes()
    with replacing(path) as place:
        place.write_bytes(content)


def _cell(exhibit: Exhibit, best: Still | None) -> Picture:
    """A picture with two lines of text below it."""
    width, height = _CELL_PX
    cell = np.full((height + _TEXT_PX, width, 3), _LIGHT, np.uint8)
    if best is None:
        _write(cell, "the video is not here", (10, height // 2), _GREY)
    else:
        small = fitted(best.boxed(width * 2, height * 2), width, height)
        top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
        cell[top : top + small.shape[0], left : left + small.shape[1]] = small
    moment = exhibit.detection.moment
    words = in_words(moment.confidence, found=exhibit.found)
    span = f"{clock(moment.start_s)} to {clock(moment.end_s)}"
    _write(cell, f"{exhibit.rank}  {words or f'score {moment.score:.2f}'}  {span}", (4, height + 19), _DARK)
    _write(cell, exhibit.clock or moment.video, (4, height + 40), _GREY)
    return cell


def _row(cells: Sequence[Picture], columns: int) -> Picture:
    height = cells[0].shape[0]
    row = _band(height + _GAP_PX, columns)
    for number, cell in enumerate(cells):
        left = _GAP_PX + number * (_CELL_PX[0] + _GAP_PX)
        row[:height, left : left + _CELL_PX[0]] = cell
    return row


def _band(height: int, columns: int) -> Picture:
    return np.full((height, columns * _CELL_PX[0] + (columns + 1) * _GAP_PX, 3), _LIGHT, np.uint8)


def _title(text: str, columns: int) -> Picture:
    band = _band(_TITLE_PX, columns)
    _write(band, text, (_GAP_PX, 23), _DARK, scale=0.65)
    return band


def _write(picture: Picture, text: str, place: tuple[int, int], colour: tuple[int, int, int], *, scale: float = 0.5) -> None:
    """Write one line, shortened to fit. OpenCV's font has no letters but those of ASCII: accents are left out, and others become "?"."""
    import cv2

    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in plain if not unicodedata.combining(letter))
    font, room = cv2.FONT_HERSHEY_SIMPLEX, picture.shape[1] - place[0] - 4
    shown = plain
    while len(shown) > 4 and cv2.getTextSize(shown, font, scale, 1)[0][0] > room:
        shown = f"{shown[:-4]}..."
    cv2.putText(picture, shown, place, font, scale, colour, 1, cv2.LINE_AA)
