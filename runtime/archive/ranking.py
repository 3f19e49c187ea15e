"""Many files, one ranked list: every recording is answered by itself, and the best moments of all are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from wsra.runtime.archive.cameras import Recording, Stretch, joined_features, recordings
from wsra.runtime.bundle import SpanPlan
from wsra.runtime.errors import FeatureError
from wsra.runtime.ground import Answer, Grounder
from wsra.runtime.moments import Moment
from wsra.runtime.parts import Joined
from wsra.runtime.video.wallclock import later

_EDGE_S = 1e-6
OF_THE_VIDEO: frozenset[SpanPlan] = frozenset({"relative", "segments"})  # plans made of a video's length: its files are not joined
Refused = Callable[[Stretch, FeatureError | OSError], None]


@dataclass(frozen=True)
class Ending:
    """Where a moment ends that began in another file: second `end_s` of `video`."""

    video: str
    end_s: float


@dataclass(frozen=True)
class Sighting:
    """A moment and its place in the world.

    Attributes:
        moment: in seconds of the video in which it starts, also where it ends beyond that.
        camera: name of the camera, or None.
        start: wall clock of its start, or None.
        until: where it ends, or None where that is in the same video.
    """

    moment: Moment
    camera: str | None
    start: datetime | None
    until: Ending | None


@dataclass(frozen=True)
class Curve:
    """The answer of one recording, whose score curve can be drawn.

    Attributes:
        title: its video, or the first and the last of its videos.
        answer: in seconds of the recording.
        duration_s: of the recording.
    """

    title: str
    answer: Answer
    duration_s: float


@dataclass(frozen=True)
class Result:
    """One query: its moments in all videos, best first, and the recordings in which they are; of a single recording its curve anyway."""

    query: str
    sightings: list[Sighting] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


class Archive:
    """Answers queries over recordings, one after the other; holds no more than the best moments and their curves.

    Args (constructor):
        grounder: the bundle.
        queries: sentences.
        top_k: moments per query.
        per_video: moments of one video per query, or None for any number.
        plan: of candidate spans, or None for the bundle's.
        refused: called for a file that cannot be used; raises, or has it left out.
    """

    def __init__(
        self, grounder: Grounder, queries: Sequence[str], *, top_k: int, per_video: int | None, plan: SpanPlan | None, refused: Refused
    ) -> None:
        self._grounder, self._queries, self._top_k, self._per_video, self._plan = grounder, queries, top_k, per_video, plan
        self._text = grounder.encoder.encode(queries)
        self._refused = refused
        self._kept: list[list[tuple[Sighting, Curve]]] = [[] for _ in queries]
        self._last: list[Curve] = []
        self._answered = 0

    def recordings(self, stretches: Sequence[Stretch]) -> list[Recording]:
        """What is answered as one: joined where the plan does not depend on a video's length."""
        if (self._plan or self._grounder.manifest.plan) in OF_THE_VIDEO:
            return [(stretch,) for stretch in stretches]
        return recordings(stretches)

    def add(self, recording: Recording) -> None:
        """Answer one recording; a file of it that cannot be used is refused, and what is left of it answered.

        Raises:
            BackendError: a graph fails, or gives numbers that are not finite.
        """
        try:
            self._add(recording)
        except (FeatureError, OSError) as err:
            broken = {recording[0]: err} if len(recording) == 1 else _broken(recording)
            if not broken:
                raise
            for stretch, why in broken.items():
                self._refused(stretch, why)
            for rest in self.recordings([stretch for stretch in recording if stretch not in broken]):
                self.add(rest)

    def results(self) -> list[Result]:
        """One per query."""
        results = []
        for number, (query, kept) in enumerate(zip(self._queries, self._kept, strict=True)):
            curves = list({id(curve): curve for _, curve in kept}.values())
            if self._answered == 1:
                curves = [self._last[number]]
            results.append(Result(query, [sighting for sighting, _ in kept], curves))
        return results

    def _add(self, recording: Recording) -> None:
        features = joined_features(recording)
        title = features.video if len(recording) == 1 else f"{features.video} to {recording[-1].footage.video}"
        self._last = [Curve(title, answer, features.duration_s) for answer in self._answers(features, recording)]
        self._answered += 1
        for number, curve in enumerate(self._last):
            new = [(_located(moment, recording, features.starts_s), curve) for moment in curve.answer.moments]
            ranked = sorted([*self._kept[number], *new], key=lambda pair: -pair[0].moment.score)  # stable: equal ones keep their order
            self._kept[number] = _at_most(self._per_video, ranked)[: self._top_k]

    def _answers(self, features: Joined, recording: Recording) -> list[Answer]:
        """The answers of a recording, with as many moments as the limit per video needs; more of them change no span."""
        count = self._top_k
        while True:
            answers = self._grounder.answers_to_vectors(features, self._queries, self._text, top_k=count, plan=self._plan)
            if self._per_video is None or all(self._enough(answer, count, recording, features.starts_s) for answer in answers):
                return answers
            count *= 4

    def _enough(self, answer: Answer, count: int, recording: Recording, starts_s: Sequence[float]) -> bool:
        """Whether more moments of this recording could not enter the list."""
        if self._per_video is None or len(recording) == 1 or len(answer.moments) < count:
            return True
        videos = Counter(_located(moment, recording, starts_s).moment.video for moment in answer.moments)
        return sum(min(self._per_video, number) for number in videos.values()) >= self._top_k


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


def _located(moment: Moment, recording: Recording, starts_s: Sequence[float]) -> Sighting:
    """A moment in seconds of a recording as one of the video in which it starts."""
    first = int(np.searchsorted(starts_s, moment.start_s + _EDGE_S, "right")) - 1
    last = max(first, int(np.searchsorted(starts_s, moment.end_s - _EDGE_S, "left")) - 1)
    begin, end = recording[first], recording[last]
    shifts = [recording[place].from_s - starts_s[place] for place in (first, last)]
    local = replace(moment, video=begin.footage.video, start_s=moment.start_s + shifts[0], end_s=moment.end_s + shifts[0])
    start = None if begin.footage.start is None else later(begin.footage.start, local.start_s)
    until = Ending(end.footage.video, moment.end_s + shifts[1]) if end.footage != begin.footage else None
    return Sighting(local, begin.footage.camera, start, until)


def _broken(recording: Recording) -> dict[Stretch, FeatureError | OSError]:
    """Which files of a recording cannot be read to their end, and why."""
    found: dict[Stretch, FeatureError | OSError] = {}
    for stretch in recording:
        try:
            for part in joined_features((stretch,)).parts:
                part.features().check_finite()
        except (FeatureError, OSError) as err:
            found[stretch] = err
    return found
