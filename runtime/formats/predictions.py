"""Predictions in the usual format: one JSON line per query with its windows, best first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import DataError
from wsra.runtime.files.limits import MOST_S
from wsra.runtime.files.reading import DATA_BYTES, json_value, lines_of, read_text
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.annotations import Annotation

Array = NDArray[np.float64]
FORM = '{"qid", "query", "vid", "pred_relevant_windows": [[start, end, score], ...]}, best first'


def read_predictions(path: Path, annotations: Sequence[Annotation]) -> dict[str, Array]:
    """Read predictions and check them against the queries they are for.

    Args:
        path: JSON lines.
        annotations: the queries.

    Returns:
        qid -> (n, 3) start and end in seconds and score, best first; queries without a line are missing.

    Raises:
        DataError: the file cannot be read, or a line belongs to no query, occurs twice, or has windows that are not best first.
    """
    text = read_text(path, error=DataError, hint=f"expected JSON lines {FORM}", most=DATA_BYTES)
    known = {annotation.qid: annotation for annotation in annotations}
    found: dict[str, Array] = {}
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        row = json_value(line, place=str(path), line=number, error=DataError, hint=f"expected {FORM}")
        qid, windows = _prediction(place, row, known)
        if qid in found:
            raise DataError(f"{place}: qid {qid} occurs twice; give each query one line")
        found[qid] = windows
    if not found:
        raise DataError(f"{path}: no predictions in it; expected JSON lines {FORM}")
    return found


def _prediction(place: str, row: Any, known: Mapping[str, Annotation]) -> tuple[str, Array]:
    try:
        qid, rows = str(row["qid"]), row["pred_relevant_windows"]
    except (KeyError, TypeError) as err:
        raise DataError(f"{place}: not a prediction ({err!r}); expected {FORM}") from err
    if qid not in known:
        raise DataError(f"{place}: qid {qid} is not among the {len(known)} annotated queries; give the annotations of these predictions")
    if "vid" in row and str(row["vid"]) != known[qid].vid:
        raise DataError(f"{place}: qid {qid} is for video {row['vid']}, but annotated for {known[qid].vid}; give matching annotations")
    try:
        windows = np.array(rows, np.float64).reshape(len(rows), -1 if rows else 3)
    except (TypeError, ValueError) as err:
        raise DataError(f"{place}: not every window is [start, end, score] ({err})") from err
    if windows.shape[1] != 3:
        raise DataError(f"{place}: windows of {windows.shape[1]} numbers; expected [start, end, score]")
    if not np.isfinite(windows).all():
        raise DataError(f"{place}: a window has NaN or infinite numbers; expected seconds and a score")
    if (np.abs(windows[:, :2]) > MOST_S).any():
        raise DataError(f"{place}: a window reaches to {np.abs(windows[:, :2]).max():g} s; expected at most ten years")
    if (windows[:, 1] < windows[:, 0]).any():
        wrong = windows[np.argmax(windows[:, 1] < windows[:, 0])]
        raise DataError(f"{place}: a window ends at {wrong[1]:g} before it starts at {wrong[0]:g}; expected [start, end, score] in seconds")
    if (windows[1:, 2] > windows[:-1, 2]).any():
        raise DataError(f"{place}: windows are not best first (a score is higher than the previous one); sort them by score")
    return qid, windows


def write_predictions(path: Path, annotations: Sequence[Annotation], answers: Sequence[Array]) -> None:
    """Write predictions.

    Args:
        path: JSON lines.
        annotations: the queries.
        answers: for each query (n, 3) start and end in seconds and score, best first.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path, durable=True) as part, part.open("w", encoding="utf-8") as file:
        for annotation, answer in zip(annotations, answers, strict=True):
            row = {"qid": annotation.row["qid"], "query": annotation.query, "vid": annotation.vid, "pred_relevant_windows": answer.tolist()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
