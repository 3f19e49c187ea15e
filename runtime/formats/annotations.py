"""Captions (sentences without times) and annotations (sentences with spans) of videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsra.runtime.errors import DataError
from wsra.runtime.files.limits import LEAST_S, MOST_S, WINDOWS
from wsra.runtime.formats.annotation_formats import KNOWN, Row, read_durations, read_rows


@dataclass(frozen=True)
class Caption:
    """A sentence that is true of a video, without times.

    Attributes:
        qid: identifier of the sentence.
        query: the sentence.
        vid: name of the video.
        has_times: whether its row has `relevant_windows`, which are not read.
    """

    qid: str
    query: str
    vid: str
    has_times: bool = False


@dataclass(frozen=True)
class Annotation:
    """A sentence with the spans in which it is true.

    Attributes:
        qid: identifier of the sentence.
        query: the sentence.
        vid: name of the video.
        duration_s: length of the video in seconds.
        windows_s: (start, end) in seconds; empty if what it describes does not occur.
        row: its complete row, as in JSON lines.
    """

    qid: str
    query: str
    vid: str
    duration_s: float
    windows_s: tuple[tuple[float, float], ...]
    row: dict[str, Any]


def _check(row: Row, required: tuple[str, ...]) -> None:
    missing = [key for key in required if key not in row.values]
    if missing:
        raise DataError(f"{row.place}: lacks {', '.join(missing)}; expected an object with {', '.join(required)}")
    query = row.values["query"]
    if not isinstance(query, str) or not query.strip():
        raise DataError(f"{row.place}: query is {query!r}; expected a sentence")
    for key in ("qid", "vid"):
        value = row.values.get(key, "")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise DataError(f"{row.place}: {key} is {value!r}; expected a name or a number")


def _unique_qid(row: Row, seen: set[str]) -> str:
    qid = str(row.values["qid"])
    if qid in seen:
        raise DataError(f"{row.place}: qid {qid} occurs twice; give each sentence its own qid")
    seen.add(qid)
    return qid


def read_captions(path: Path) -> list[Caption]:
    """Read captions in any known format; times are ignored. A row without a `qid` gets the number of its line, from 1.

    Raises:
        DataError: the file cannot be read, is empty, or has the same qid twice.
    """
    captions = []
    seen: set[str] = set()
    for row in read_rows(path)[1]:
        _check(row, ("query", "vid"))
        captions.append(Caption(_unique_qid(row, seen), row.values["query"], str(row.values["vid"]), "relevant_windows" in row.values))
    if not captions:
        raise DataError(f"{path}: no captions in it; expected JSON lines with query and vid")
    return captions


def read_annotations(path: Path, *, durations: Path | Mapping[str, float] | None = None) -> list[Annotation]:
    """Read annotations with their spans, in any known format.

    Args:
        path: JSON lines, DiDeMo's JSON (each annotator's moment becomes a window), UCA's JSON, or Charades-STA's text.
        durations: seconds of each video, for rows that have none, or a JSON file with them.

    Raises:
        DataError: the file cannot be read, a row is wrong, a qid occurs twice, or a duration is missing.
    """
    form, rows = read_rows(path)
    known_s = read_durations(durations) if isinstance(durations, Path) else durations or {}
    annotations = []
    seen: set[str] = set()
    for row in rows:
        _check(row, ("query", "vid", "relevant_windows"))
        vid = str(row.values["vid"])
        if "duration" not in row.values and vid in known_s:
            row.values["duration"] = known_s[vid]
        if "duration" not in row.values and form == "charades":
            raise DataError(f"{row.place}: no duration of {vid}; give the durations of all videos with --durations charades.json")
        _check(row, ("qid", "query", "vid", "duration", "relevant_windows"))
        annotations.append(_annotation(row, vid, _unique_qid(row, seen)))
    if not annotations:
        raise DataError(f"{path}: no annotations in it; expected {KNOWN}")
    return annotations


def _annotation(row: Row, vid: str, qid: str) -> Annotation:
    try:
        if len(row.values["relevant_windows"]) > WINDOWS:
            raise DataError(f"{row.place}: {len(row.values['relevant_windows'])} windows; expected {WINDOWS} at most")
        windows_s = tuple((float(start), float(end)) for start, end in row.values["relevant_windows"])
        duration_s = float(row.values["duration"])
    except (TypeError, ValueError) as err:
        raise DataError(f"{row.place}: relevant_windows or duration are not in seconds ({err})") from err
    if not LEAST_S <= duration_s <= MOST_S:
        raise DataError(f"{row.place}: duration is {duration_s}; expected more than 0 s and at most ten years")
    for start_s, end_s in windows_s:
        if not -MOST_S <= start_s <= end_s <= MOST_S:
            raise DataError(f"{row.place}: a window from {start_s} to {end_s}; expected seconds, start before end, at most ten years")
    return Annotation(qid, row.values["query"], vid, duration_s, windows_s, row.values)
