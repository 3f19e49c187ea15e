"""Queries over one recording, which any process can answer by itself, and the ranked list of the answers of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.archive.cameras import Stretch, Stretches, joined_features, recordings
from wsra.runtime.archive.detections import Curve, Detection, curve_of, located
from wsra.runtime.archive.request import Question
from wsra.runtime.archive.strips import Strip, strip_of
from wsra.runtime.errors import FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.grounding.answers import Answer
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.recording import Recording
from wsra.runtime.sentences.notes import Note

OF_THE_VIDEO: frozenset[SpanPlan] = frozenset({"relative", "segments"})  # plans made of a video's length: its files are not joined


@dataclass(frozen=True)
class QueryAnswer:
    """One query in one recording: its moments, best first, its best candidate, found or not, its curve, and its strip if that is asked."""

    detections: tuple[Detection, ...]
    best: Detection | None
    curve: Curve
    strip: Strip | None = None


@dataclass(frozen=True)
class Answered:
    """What became of one recording.

    Attributes:
        seen: of each recording that was answered (several, or none, where a broken file parts it) one answer per query.
        refused: files that cannot be used, and why.
    """

    seen: tuple[tuple[QueryAnswer, ...], ...] = ()
    refused: tuple[tuple[Stretch, FeatureError], ...] = ()


def recordings_for(stretches: Sequence[Stretch], plan: SpanPlan) -> list[Stretches]:
    """What is answered as one: joined where the plan does not depend on a video's length."""
    return [(stretch,) for stretch in stretches] if plan in OF_THE_VIDEO else recordings(stretches)


class Answerer:
    """Answers recordings, each by itself.

    Args (constructor):
        grounder: the bundle.
        question: what is asked.
        hours: of video that are asked, all recordings together.

    Raises (constructor):
        ConfigError: the bundle has no score for the spans of the plan.
        QueryError: a sentence is empty or too long.
    """

    def __init__(self, grounder: Grounder, question: Question, *, hours: float | None = None) -> None:
        self.grounder, self.plan = grounder, grounder.planned(question.plan)
        self.hours, self._question = hours, question
        self._text = grounder.encoder.encode(question.queries)

    @cached_property
    def _levels(self) -> NDArray[np.float64]:
        """Of the sentences, by the kernel that was chosen for all recordings."""
        return self.grounder.scorer.levels(self._text)

    def answer(self, recording: Stretches) -> Answered:
        """Answer one recording; a file of it that cannot be used is refused, and what is left of it answered.

        Raises:
            BackendError: a graph fails, or gives numbers that are not finite.
        """
        try:
            with one_file(recording[0].footage.feat, FeatureError):
                return Answered((self._seen(recording),))
        except FeatureError as err:
            broken = {recording[0]: err} if len(recording) == 1 else self._broken(recording)
            broken = broken or dict.fromkeys(recording, err)  # each by itself is whole, together they cannot be used
        rest = recordings_for([stretch for stretch in recording if stretch not in broken], self.plan)
        others = [self.answer(part) for part in rest]
        seen = tuple(one for other in others for one in other.seen)
        return Answered(seen, (*broken.items(), *(pair for other in others for pair in other.refused)))

    def _seen(self, recording: Stretches) -> tuple[QueryAnswer, ...]:
        features = joined_features(recording)
        title = features.video if len(recording) == 1 else f"{features.video} to {recording[-1].footage.video}"
        window = self._question.window
        return tuple(
            QueryAnswer(
                tuple(located(moment, recording, features.starts_s) for moment in answer.moments),
                located(answer.best, recording, features.starts_s) if answer.best is not None else None,
                curve_of(answer, title=title, duration_s=features.duration_s),
                strip_of(answer.curve, answer.times_s, features.duration_s, recording, window) if window is not None else None,
            )
            for answer in self._answers(features, recording)
        )

    def _answers(self, features: Recording, recording: Stretches) -> list[Answer]:
        """The answers of a recording, with as many moments as the limit per video needs; more of them change no span."""
        count = self._question.top_k
        while True:
            answers = self.grounder.answers_to_vectors(
                features,
                self._question.queries,
                self._text,
                top_k=count,
                plan=self.plan,
                false_alarms=self._question.false_alarms,
                hours=self.hours,
                levels=self._levels,
            )
            if self._question.per_video is None or all(self._enough(answer, count, recording, features.starts_s) for answer in answers):
                return answers
            count *= 4

    def _enough(self, answer: Answer, count: int, recording: Stretches, starts_s: Sequence[float]) -> bool:
        """Whether more moments of this recording could not enter the list."""
        if self._question.per_video is None or len(recording) == 1 or len(answer.moments) < count:
            return True
        videos = Counter(located(moment, recording, starts_s).moment.video for moment in answer.moments)
        return sum(min(self._question.per_video, number) for number in videos.values()) >= self._question.top_k

    def _broken(self, recording: Stretches) -> dict[Stretch, FeatureError]:
        """Which files of a recording cannot be read to their end, or give no keys, and why."""
        found: dict[Stretch, FeatureError] = {}
        for stretch in recording:
            try:
                with one_file(stretch.footage.feat, FeatureError):
                    for part in joined_features((stretch,)).parts:
                        part.features().check_finite()
                        self.grounder.scorer.keys(part.features())
            except FeatureError as err:
                found[stretch] = err
        return found


@dataclass(frozen=True)
class Result:
    """One query in all videos.

    Attributes:
        query: the sentence.
        detections: its moments that are found, best first.
        curves: of the recordings in which they are; of a single recording anyway.
        best: its candidate of the highest confidence, found or not; None where there is no candidate.
        notes: what the bundle cannot take from the sentence.
    """

    query: str
    detections: list[Detection] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    best: Detection | None = None
    notes: list[Note] = field(default_factory=list)


class Ranking:
    """Merges the answers of recordings; holds no more than the best moments and their curves.

    Args (constructor):
        question: what was asked.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self._kept: list[list[tuple[Detection, Curve]]] = [[] for _ in question.queries]
        self._best: list[Detection | None] = [None] * len(question.queries)
        self._last: tuple[QueryAnswer, ...] = ()
        self._answered = 0

    def add(self, answered: Answered) -> None:
        """Merge one recording; of equal scores the earlier comes first."""
        for seen in answered.seen:
            self._last = seen
            self._answered += 1
            for number, of_query in enumerate(seen):
                new = [(detection, of_query.curve) for detection in of_query.detections]
                ranked = sorted([*self._kept[number], *new], key=lambda pair: -pair[0].moment.score)  # stable
                self._kept[number] = _at_most(self._question.per_video, ranked)[: self._question.top_k]
                self._best[number] = _better(self._best[number], of_query.best)

    def results(self) -> list[Result]:
        """One per query."""
        results = []
        for number, (query, kept) in enumerate(zip(self._question.queries, self._kept, strict=True)):
            curves = list({id(curve): curve for _, curve in kept}.values())
            if self._answered == 1:
                curves = [self._last[number].curve]
            results.append(Result(query, [detection for detection, _ in kept], curves, self._best[number]))
        return results


def _better(one: Detection | None, other: Detection | None) -> Detection | None:
    """The detection of the higher presence score; of equal ones the first."""
    if one is None or other is None:
        return one or other
    return other if other.moment.presence > one.moment.presence else one


def _at_most(per_video: int | None, ranked: list[tuple[Detection, Curve]]) -> list[tuple[Detection, Curve]]:
    if per_video is None:
        return ranked
    seen: Counter[str] = Counter()
    kept = []
    for detection, curve in ranked:
        seen[detection.moment.video] += 1
        if seen[detection.moment.video] <= per_video:
            kept.append((detection, curve))
    return kept
