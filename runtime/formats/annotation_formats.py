"""Annotation files in the usual formats, recognised by their content and read as rows of one form: JSON lines as QVHighlights has them.

A row is `{"qid", "query", "vid", "duration", "relevant_windows"}`; a row lacks what its format does not contain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsra.runtime.errors import DataError
from wsra.runtime.files.limits import LEAST_S, MOST_S
from wsra.runtime.files.reading import DATA_BYTES, JSON_CHARS, json_value, lines_of, read_json, read_text
from wsra.runtime.spans.windows import SEGMENT_S

Format = Literal["json lines", "didemo", "charades", "uca"]
KNOWN = (
    "JSON lines with qid, query, vid, duration and relevant_windows; DiDeMo's JSON; UCA's JSON; or Charades-STA's text"
    " (VIDEO START END##SENTENCE)"
)
_HINT = f"expected {KNOWN}"


@dataclass(frozen=True)
class Row:
    """One sentence.

    Attributes:
        place: file and line or entry, for messages.
        values: the fields of its JSON line.
    """

    place: str
    values: dict[str, Any]


def read_rows(path: Path) -> tuple[Format, Iterator[Row]]:
    """Read an annotation file in any known format.

    Returns:
        Its format and an iterator over its rows, which raises a DataError at the first wrong row.

    Raises:
        DataError: the file cannot be read, or its format is unknown.
    """
    text = read_text(path, error=DataError, hint=_HINT, most=DATA_BYTES)
    first = next((line for line in lines_of(text) if line.strip()), "")
    if "##" in first and not first.lstrip().startswith("{"):
        return "charades", _charades(path, text)
    if first.lstrip().startswith("["):
        return "didemo", _didemo(path, json_value(text, place=str(path), error=DataError, hint=_HINT))
    table = _table_of_uca(first, text)
    return ("json lines", _json_lines(path, text)) if table is None else ("uca", _uca(path, table))


def _table_of_uca(first: str, text: str) -> dict[str, Any] | None:
    """The JSON object of a UCA file, whose members have `sentences`; None if the file is not one."""
    for part in (first, text):
        try:
            table = json_value(part, place="", error=DataError, hint="")
        except DataError:
            continue
        is_uca = isinstance(table, dict) and table and all(isinstance(entry, dict) and "sentences" in entry for entry in table.values())
        return table if is_uca else None
    return None


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        values = json_value(line, place=str(path), line=number, error=DataError, hint=_HINT)
        if not isinstance(values, dict):
            raise DataError(f"{place}: {line.strip()[:40]!r}; expected one JSON object per line")
        yield Row(place, {"qid": number, **values})


def _didemo(path: Path, entries: Any) -> Iterator[Row]:
    """Each annotator's moment [first, last] becomes a window of whole 5 s segments."""
    for number, entry in enumerate(entries):
        place = f"{path}, entry {number}"
        try:
            windows = [[first * SEGMENT_S, (last + 1) * SEGMENT_S] for first, last in entry["times"]]
            yield Row(
                place,
                {
                    "qid": entry["annotation_id"],
                    "query": entry["description"],
                    "vid": entry["video"],
                    "duration": entry["num_segments"] * SEGMENT_S,
                    "relevant_windows": windows,
                },
            )
        except (KeyError, TypeError, ValueError) as err:
            raise DataError(
                f"{place}: not an entry of DiDeMo ({err!r}); expected annotation_id, video, description, num_segments and times"
            ) from err


def _charades(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            head, query = line.split("##", 1)
            vid, start, end = head.split()
            yield Row(place, {"qid": number, "query": query, "vid": vid, "relevant_windows": [[float(start), float(end)]]})
        except ValueError as err:
            raise DataError(f"{place}: {line[:60]!r}; expected VIDEO START END##SENTENCE") from err


def _uca(path: Path, table: dict[str, Any]) -> Iterator[Row]:
    for vid, entry in table.items():
        place = f"{path}, video {vid}"
        try:
            for number, (window, query) in enumerate(zip(entry["timestamps"], entry["sentences"], strict=True)):
                yield Row(
                    f"{place}, sentence {number}",
                    {
                        "qid": f"{vid}#{number}",
                        "query": query,
                        "vid": vid,
                        "duration": entry["duration"],
                        "relevant_windows": [window],
                    },
                )
        except (KeyError, TypeError, ValueError) as err:
            raise DataError(f"{place}: not an entry of UCA ({err!r}); expected duration, and as many timestamps as sentences") from err


def read_durations(path: Path) -> dict[str, float]:
    """Durations of videos: one JSON object, video -> seconds or video -> {"duration": seconds, ...}.

    Raises:
        DataError: the file cannot be read or contains something else.
    """
    hint = 'expected one JSON object, video -> {"duration": seconds}'
    table = read_json(path, error=DataError, hint=hint, most=JSON_CHARS)
    try:
        durations_s = {str(vid): float(entry["duration"] if isinstance(entry, dict) else entry) for vid, entry in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise DataError(f"{path}: no durations in it ({err!r}); {hint}") from err
    wrong = next((vid for vid, value in durations_s.items() if not LEAST_S <= value <= MOST_S), None)
    if wrong is not None:
        raise DataError(f"{path}: duration of {wrong} is {durations_s[wrong]}; expected more than 0 s and at most ten years")
    return durations_s
