"""The bundle of the materials, opened once in a process, and its answers as plain values."""

from __future__ import annotations

from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from hostile.materials import Materials
from wsra.runtime.archive.request import Question, Request, read_queries
from wsra.runtime.archive.search import search
from wsra.runtime.backends.settings import RunSettings
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.grounder import Grounder


@cache
def grounder(bundle: Path, *, keep_keys: bool) -> Grounder:
    """FP32 on the CPU, with NumPy's kernel: the slow start of numba is no part of an attack."""
    return Grounder.open(bundle, precision="fp32", provider="cpu", threads=1, kernel="numpy", keep_keys=keep_keys)


def answer_of(features: Features, materials: Materials, *, keep_keys: bool) -> dict[str, Any]:
    """What is found for the one sentence."""
    answer = grounder(materials.bundle, keep_keys=keep_keys).answer(features, materials.sentence, false_alarms=inf)
    moments = [(m.video, m.start_s, m.end_s, m.score) for m in answer.moments]
    return {"moments": moments, "logits": answer.logits.tolist()}


def searched(materials: Materials, *inputs: Path, queries: Path | None = None, between: tuple[str, str] | None = None) -> dict[str, Any]:
    """What `wsra ground` finds in files and folders."""
    sentences = (materials.sentence,) if queries is None else tuple(read_queries(queries))
    request = Request(
        paths=inputs,
        question=Question(sentences, false_alarms=inf),  # every candidate is found
        bundle=materials.bundle,
        settings=RunSettings("fp32", "cpu", threads=1, kernel="numpy"),
        between=between,
    )
    found = search(request)
    seen = [
        (result.query, s.moment.video, s.moment.start_s, s.moment.end_s, s.moment.score, s.camera, str(s.start))
        for result in found.results
        for s in result.detections
    ]
    return {"seen": seen, "left_out": found.left_out}
