"""Captions and annotations: the field's JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsra.runtime.errors import DataError


@dataclass(frozen=True)
class Caption:
    """A sentence that is true of a video, without times.

    Attributes:
        qid: identifier of the sentence.
        query: the sentence.
        vid: name of the video.
        has_times: whether its row carries `relevant_windows`, which are not looked at.
    """

    qid: str
    query: str
    vid: str
    has_times: bool = False


@dataclass(frozen=True)
class Annotation:
    """A sentence with the spans it is true of.

    Attributes:
        qid: identifier of the sentence.
        query: the sentence.
        vid: name of the video.
        duration_s: length of the video in seconds.
        windows_s: (start, end) in seconds; empty when the thing does not appear.
        row: the whole JSON row.
    """

    qid: str
    query: str
    vid: str
    duration_s: float
    windows_s: tuple[tuple[float, float], ...]
    row: dict[str, Any]


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON strings may hold the other line ends of Unicode
    except (OSError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: cannot be read ({err}); expected JSON lines") from err
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as err:
            raise DataError(f"{path}, line {number}: not JSON ({err.msg}); expected one JSON object per line") from err
        missing = [key for key in required if not isinstance(row, dict) or key not in row]
        if missing:
            raise DataError(f"{path}, line {number}: lacks {', '.join(missing)}; expected an object with {', '.join(required)}")
        yield number, row


def _check_query(path: Path, number: int, row: dict[str, Any]) -> None:
    if not isinstance(row["query"], str) or not row["query"].strip():
        raise DataError(f"{path}, line {number}: query is {row['query']!r}; expected a sentence")


def read_captions(path: Path) -> list[Caption]:
    """Read captions; times are not looked at.

    Raises:
        DataError: the file cannot be read, is empty, or holds an id twice.
    """
    captions = []
    seen: set[str] = set()
    for number, row in _rows(path, ("query", "vid")):
        _check_query(path, number, row)
        qid = str(row.get("qid", number))
        if qid in seen:
            raise DataError(f"{path}, line {number}: qid {qid} occurs twice; give each sentence its own")
        seen.add(qid)
        captions.append(Caption(qid, row["query"], str(row["vid"]), "relevant_windows" in row))
    if not captions:
        raise DataError(f"{path}: no captions in it; expected JSON lines with query and vid")
    return captions


def read_annotations(path: Path) -> list[Annotation]:
    """Read annotations with their spans.

    Raises:
        DataError: the file cannot be read or a row is wrong.
    """
    annotations = []
    for number, row in _rows(path, ("qid", "query", "vid", "duration", "relevant_windows")):
        _check_query(path, number, row)
        try:
            windows = tuple((float(start), float(end)) for start, end in row["relevant_windows"])
            duration_s = float(row["duration"])
        except (TypeError, ValueError) as err:
            raise DataError(f"{path}, line {number}: relevant_windows or duration are no seconds ({err})") from err
        annotations.append(Annotation(str(row["qid"]), row["query"], str(row["vid"]), duration_s, windows, row))
    return annotations
