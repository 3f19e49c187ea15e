"""Answers for programs: JSON. Needs no Rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsra.runtime.archive.detections import Sighting
from wsra.runtime.grounding.grounder import Grounder


def answer_json(query: str, sightings: Sequence[Sighting], grounder: Grounder) -> dict[str, Any]:
    """What `ground --json` prints for one query."""
    return {
        "query": query,
        "found": bool(sightings),
        "moments": [_moment_json(seen) for seen in sightings],
        "bundle": str(grounder.bundle),
        "precision": grounder.precision,
        "provider": grounder.scorer.provider,
        "device": grounder.scorer.device,
        "kernel": grounder.scorer.kernel.name,
    }


def _moment_json(seen: Sighting) -> dict[str, Any]:
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
