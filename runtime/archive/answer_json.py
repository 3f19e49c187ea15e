"""Answers for programs: JSON. Needs no Rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsra.runtime.archive.detections import Detection
from wsra.runtime.backends.settings import RunInfo


def answer_json(query: str, detections: Sequence[Detection], ran: RunInfo) -> dict[str, Any]:
    """What `ground --json` prints for one query."""
    return {
        "query": query,
        "found": bool(detections),
        "moments": [_moment_json(seen) for seen in detections],
        "bundle": str(ran.bundle),
        "precision": ran.precision,
        "provider": ran.provider,
        "device": ran.device,
        "kernel": ran.kernel,
    }


def _moment_json(seen: Detection) -> dict[str, Any]:
    moment, start, until = seen.moment, seen.start, seen.until
    return {
        "video": moment.video,
        "start_s": moment.start_s,
        "end_s": moment.end_s,
        "score": moment.score,
        "track": moment.track,
        "box": None if moment.box is None else list(moment.box),
        "best_s": moment.best_s,
        "camera": seen.camera,
        "start_time": None if start is None else start.isoformat(timespec="milliseconds" if start.microsecond else "seconds"),
        "until": None if until is None else {"video": until.video, "end_s": until.end_s},
    }
