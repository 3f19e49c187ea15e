"""Many recordings, one ranked list per query: the best moments of all are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from wsra.runtime.archive.answering import Answered, Seen
from wsra.runtime.archive.detections import Curve, Sighting


@dataclass(frozen=True)
class Result:
    """One query: its moments in all videos, best first, and the recordings in which they are; of a single recording its curve anyway."""

    query: str
    sightings: list[Sighting] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


class Ranking:
    """Merges the answers of recordings; holds no more than the best moments and their curves.

    Args (constructor):
        queries: sentences.
        top_k: moments per query.
        per_video: moments of one video per query, or None for any number.
    """

    def __init__(self, queries: Sequence[str], *, top_k: int, per_video: int | None = None) -> None:
        self._queries, self._top_k, self._per_video = queries, top_k, per_video
        self._kept: list[list[tuple[Sighting, Curve]]] = [[] for _ in queries]
        self._last: tuple[Seen, ...] = ()
        self._answered = 0

    def add(self, answered: Answered) -> None:
        """Merge one recording; of equal scores the earlier comes first."""
        for seen in answered.seen:
            self._last = seen
            self._answered += 1
            for number, of_query in enumerate(seen):
                new = [(sighting, of_query.curve) for sighting in of_query.sightings]
                ranked = sorted([*self._kept[number], *new], key=lambda pair: -pair[0].moment.score)  # stable
                self._kept[number] = _at_most(self._per_video, ranked)[: self._top_k]

    def results(self) -> list[Result]:
        """One per query."""
        results = []
        for number, (query, kept) in enumerate(zip(self._queries, self._kept, strict=True)):
            curves = list({id(curve): curve for _, curve in kept}.values())
            if self._answered == 1:
                curves = [self._last[number].curve]
            results.append(Result(query, [sighting for sighting, _ in kept], curves))
        return results


def _at_most(per_video: int | None, ranked: list[tuple[Sighting, Curve]]) -> list[tuple[Sighting, Curve]]:
    if per_video is None:
        return ranked
    seen: Counter[str] = Counter()
    kept = []
    for sighting, curve in ranked:
        seen[sighting.moment.video] += 1
        if seen[sighting.moment.video] <= per_video:
            kept.append((sighting, curve))
    return kept
