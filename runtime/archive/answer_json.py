"""Answers for programs: JSON. Needs no Rich."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from wsra.runtime.archive.answering import Result
from wsra.runtime.archive.detections import Detection
from wsra.runtime.archive.search import SearchResults
from wsra.runtime.grounding.likelihood import likelihood


def answer_json(result: Result, found: SearchResults) -> dict[str, Any]:
    """What `ground --json` prints for one query."""
    ran = found.ran
    return {
        "query": result.query,
        "found": bool(result.detections),
        "moments": [moment_json(seen, found=True) for seen in result.detections],
        "best_candidate": None if result.detections or result.best is None else moment_json(result.best, found=False),
        "notes": [asdict(note) for note in result.notes],
        "hours": found.hours,
        "calibration": found.calibration,
        "bundle": str(ran.bundle),
        "precision": ran.precision,
        "provider": ran.provider,
        "device": ran.device,
        "kernel": ran.kernel,
    }


def moment_json(seen: Detection, *, found: bool) -> dict[str, Any]:
    """One moment, or the best candidate where nothing is found."""
    moment, start, until = seen.moment, seen.start, seen.until
    return {
        "video": moment.video,
        "start_s": moment.start_s,
        "end_s": moment.end_s,
        "score": moment.score,
        "likelihood": likelihood(moment.confidence, found=found),
        "confidence": moment.confidence,
        "false_alarms_per_hour": moment.false_alarms_per_hour,
        "track": moment.track,
        "box": None if moment.box is None else list(moment.box),
        "best_s": moment.best_s,
        "camera": seen.camera,
        "start_time": None if start is None else start.isoformat(timespec="milliseconds" if start.microsecond else "seconds"),
        "until": None if until is None else {"video": until.video, "end_s": until.end_s},
    }
