"""Annotation files of the field, told apart by their content, as rows of one form: the field's JSON lines.

A row is `{"qid", "query", "vid", "duration", "relevant_windows"}`; what a format does not hold is missing from its rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wsra.runtime.errors import DataError
from wsra.runtime.windows import SEGMENT_S

Format = Literal["json lines", "didemo", "charades", "uca"]
KNOWN = (
    "JSON lines with qid, query, vid, duration and relevant_windows; DiDeMo's JSON; UCA's JSON; or Charades-STA's text"
    " (VIDEO START END##SENTENCE)"
)


@dataclass(frozen=True)
class Row:
    """One sentence.

    Attributes:
        place: file and line or entry, for messages.
        values: as in JSON lines.
    """

    place: str
    values: dict[str, Any]


def read_rows(path: Path) -> tuple[Format, list[Row]]:
    """Read an annotation file of any known form.

    Raises:
        DataError: the file cannot be read, or is of no known form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: cannot be read ({err}); expected {KNOWN}") from err
    first = next((line for line in text.split("\n") if line.strip()), "")
    if "##" in first and not first.lstrip().startswith("{"):
        return "charades", list(_charades(path, text))
    if first.lstrip().startswith("["):
        return "didemo", list(_didemo(path, _whole(path, text)))
    if _is_uca(first, text):
        return "uca", list(_uca(path, _whole(path, text)))
    return "json lines", list(_json_lines(path, text))


def _is_uca(first: str, text: str) -> bool:
    """Whether one object holds the file, whose members hold `sentences`."""
    try:
        table = json.loads(first)
    except json.JSONDecodeError:
        try:
            table = json.loads(text)
        except json.JSONDecodeError:
            return False
    return isinstance(table, dict) and bool(table) and all(isinstance(entry, dict) and "sentences" in entry for entry in table.values())


def _whole(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        raise DataError(f"{path}, line {err.lineno}: not JSON ({err.msg}); expected {KNOWN}") from err


def _json_lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):  # JSON strings may hold the other line ends of Unicode
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as err:
            raise DataError(f"{place}: not JSON ({err.msg}); expected {KNOWN}") from err
        if not isinstance(values, dict):
            raise DataError(f"{place}: {line.strip()[:40]!r}; expected one JSON object per line")
        yield Row(place, {"qid": number, **values})


def _didemo(path: Path, entries: Any) -> Iterator[Row]:
    """Every annotator's moment [first, last] is a window of whole segments of 5 s."""
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
                f"{place}: not of DiDeMo ({err!r}); expected annotation_id, video, description, num_segments and times"
            ) from err


def _charades(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
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
            raise DataError(f"{place}: not of UCA ({err!r}); expected duration, and as many timestamps as sentences") from err


def read_durations(path: Path) -> dict[str, float]:
    """Durations of videos: one JSON object, video -> seconds or video -> {"duration": seconds, ...}.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        durations_s = {str(vid): float(entry["duration"] if isinstance(entry, dict) else entry) for vid, entry in table.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise DataError(f'{path}: no durations in it ({err!r}); expected one JSON object, video -> {{"duration": seconds}}') from err
    wrong = next((vid for vid, value in durations_s.items() if not 0 < value < float("inf")), None)
    if wrong is not None:
        raise DataError(f"{path}: duration of {wrong} is {durations_s[wrong]}; expected seconds greater than 0")
    return durations_s
