"""Queries over one recording: what depends on that recording alone, so that it can be done anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from wsra.runtime.archive.cameras import Recording, Stretch, joined_features, recordings
from wsra.runtime.archive.detections import Curve, Sighting, curve_of, located
from wsra.runtime.errors import FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import SpanPlan
from wsra.runtime.grounding.grounder import Answer, Grounder
from wsra.runtime.grounding.recording import Joined
from wsra.runtime.kernels.protocol import Kernel

OF_THE_VIDEO: frozenset[SpanPlan] = frozenset({"relative", "segments"})  # plans made of a video's length: its files are not joined


@dataclass(frozen=True)
class Seen:
    """One query in one recording: its moments, best first, and its curve."""

    sightings: tuple[Sighting, ...]
    curve: Curve


@dataclass(frozen=True)
class Answered:
    """What became of one recording.

    Attributes:
        seen: of each recording that was answered (several, or none, where a broken file parts it) one `Seen` per query.
        refused: files that cannot be used, and why.
    """

    seen: tuple[tuple[Seen, ...], ...] = ()
    refused: tuple[tuple[Stretch, FeatureError], ...] = ()


def recordings_for(stretches: Sequence[Stretch], plan: SpanPlan) -> list[Recording]:
    """What is answered as one: joined where the plan does not depend on a video's length."""
    return [(stretch,) for stretch in stretches] if plan in OF_THE_VIDEO else recordings(stretches)


class Answerer:
    """Answers recordings, each by itself.

    Args (constructor):
        grounder: the bundle.
        queries: sentences.
        top_k: moments per query.
        per_video: moments of one video per query, or None for any number.
        plan: of candidate spans, or None for the bundle's.

    Raises (constructor):
        ConfigError: the bundle has no score for the spans of the plan.
        QueryError: a sentence is empty or too long.
    """

    def __init__(
        self, grounder: Grounder, queries: Sequence[str], *, top_k: int, per_video: int | None = None, plan: SpanPlan | None = None
    ) -> None:
        self.grounder, self.queries, self.plan = grounder, queries, grounder.planned(plan)
        self._top_k, self._per_video = top_k, per_video
        self._text = grounder.encoder.encode(queries)

    def scoring_with(self, kernel: Kernel) -> Answerer:
        """The same with another kernel."""
        other = copy(self)
        other.grounder = self.grounder.scoring_with(kernel)
        return other

    def answer(self, recording: Recording) -> Answered:
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

    def _seen(self, recording: Recording) -> tuple[Seen, ...]:
        features = joined_features(recording)
        title = features.video if len(recording) == 1 else f"{features.video} to {recording[-1].footage.video}"
        return tuple(
            Seen(
                tuple(located(moment, recording, features.starts_s) for moment in answer.moments),
                curve_of(answer, title=title, duration_s=features.duration_s),
            )
            for answer in self._answers(features, recording)
        )

    def _answers(self, features: Joined, recording: Recording) -> list[Answer]:
        """The answers of a recording, with as many moments as the limit per video needs; more of them change no span."""
        count = self._top_k
        while True:
            answers = self.grounder.answers_to_vectors(features, self.queries, self._text, top_k=count, plan=self.plan)
            if self._per_video is None or all(self._enough(answer, count, recording, features.starts_s) for answer in answers):
                return answers
            count *= 4

    def _enough(self, answer: Answer, count: int, recording: Recording, starts_s: Sequence[float]) -> bool:
        """Whether more moments of this recording could not enter the list."""
        if self._per_video is None or len(recording) == 1 or len(answer.moments) < count:
            return True
        videos = Counter(located(moment, recording, starts_s).moment.video for moment in answer.moments)
        return sum(min(self._per_video, number) for number in videos.values()) >= self._top_k

    def _broken(self, recording: Recording) -> dict[Stretch, FeatureError]:
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
