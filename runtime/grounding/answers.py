"""Answers: the candidates of a recording as moments, each judged by its presence score.

Shapes: T rows, Q sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.formats.bundle import Manifest, SpanPlan
from wsra.runtime.formats.features import Features
from wsra.runtime.formats.presence import Presence
from wsra.runtime.grounding.candidates import Spans, Wanted, additive_spans, pooled_spans
from wsra.runtime.grounding.lives import Lives, best_lives
from wsra.runtime.grounding.presence import FOUND, SHARE, SpanPresence, confidence, false_alarms_per_hour
from wsra.runtime.grounding.recording import Recording
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.spans.moments import Moment
from wsra.runtime.spans.windows import Timeline


@dataclass(frozen=True)
class Answer:
    """What is known of one query in one video.

    Attributes:
        query: the sentence.
        video: name of the video.
        moments: those that are found, best first.
        best: the candidate of the highest presence score, found or not; None where there is no candidate.
        logits: (T,) of the rows: snippets, or objects in snippets.
        theta: the logit at which a row speaks neither for nor against.
        times_s: (T, 2) of the rows.
        hours: of video that were asked, by which confidences go.
        source: the features, or their file, where they are of one video; its pictures are shown in a notebook if it lies beside them.
    """

    query: str
    video: str
    moments: list[Moment]
    best: Moment | None
    logits: NDArray[np.float32]
    theta: float
    times_s: NDArray[np.float64]
    hours: float
    source: Features | Path | None = None

    @property
    def found(self) -> bool:
        """Whether there are moments: by default those of a confidence above 1/2, else as many false alarms accept."""
        return bool(self.moments)

    @property
    def present(self) -> bool:
        """Whether a candidate has a confidence above 1/2, however many false alarms were accepted for `moments`."""
        return self.best is not None and self.best.confidence > FOUND

    @property
    def curve(self) -> NDArray[np.float64]:
        """(T,) logit phi - theta of each row; above 0 speaks for the sentence."""
        return np.asarray(self.logits.astype(np.float64) - self.theta)

    def to_dict(self) -> dict[str, Any]:
        """The moments, and where nothing is found the best candidate, as JSON can hold them."""
        from wsra.runtime.grounding.answer_views import as_dict

        return as_dict(self)

    def to_pandas(self) -> Any:
        """The moments as a `pandas.DataFrame`, one row each, the best first.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from wsra.runtime.grounding.answer_views import as_table

        return as_table(self)

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        from wsra.runtime.grounding.answer_views import as_html

        return as_html(self, f"answer-{id(self):x}")


def moments_of(
    recording: Recording,
    logits: NDArray[np.float32],
    text: NDArray[np.float32],
    scorer: SnippetScorer,
    manifest: Manifest,
    *,
    plan: SpanPlan,
    levels: NDArray[np.float64],
    least: float,
    top_k: int,
) -> Iterator[tuple[list[Moment], list[Moment]]]:
    """Moments whose presence is not judged yet; lazily, so that the candidates of one sentence at a time stand in memory.

    Args:
        recording: that is asked.
        logits: (Q, T) of its rows.
        text: (Q, Dt) vectors of the sentences.
        scorer: of pooled windows.
        manifest: of the bundle.
        plan: of candidate spans.
        levels: (Q,) of the sentences.
        least: the presence score above which a candidate is found.
        top_k: how many moments per sentence at most.

    Yields:
        Per sentence the moments that are found, best first, and the candidate of the highest presence score, if there is one.
    """
    theta, offsets = manifest.theta, SHARE * levels
    if recording.lives is not None:
        for row, offset in zip(logits, offsets, strict=True):
            scores = recording.lives.scores(row)
            found, best = (
                _moments_of_lives(recording.video, recording.lives, scores, theta=theta, offset=offset, least=limit, top_k=count)
                for limit, count in ((least, top_k), (-np.inf, 1))
            )
            yield found, best
        return
    wanted = (
        Wanted(SpanPresence(row.astype(np.float64) - offset, manifest.snippet_s), least, top_k)
        for row, offset in zip(logits, offsets, strict=True)
    )
    if manifest.span_score == "pooled":
        assert plan == "seconds" or plan == "relative" or plan == "segments"
        spans = pooled_spans(recording, scorer, text, list(wanted), plan=plan)
    else:
        compiled = scorer.kernel.compiled
        spans = (
            additive_spans(recording, row, request, plan=plan, theta=theta, compiled=compiled)
            for row, request in zip(logits, wanted, strict=True)
        )
    timeline = Timeline(recording.times_s)
    for one in spans:
        highest = [] if one.best is None else _moments_of_spans(recording.video, timeline, one.best)
        yield _moments_of_spans(recording.video, timeline, one), highest


def judged(moment: Moment, presence: Presence, hours: float) -> Moment:
    """A moment with what its presence score means.

    Args:
        moment: with its presence score.
        presence: of the bundle.
        hours: of video that were asked.
    """
    rate = false_alarms_per_hour(presence, moment.presence)
    return replace(moment, confidence=confidence(presence, moment.presence, hours), false_alarms_per_hour=rate)


def _moments_of_spans(video: str, timeline: Timeline, spans: Spans) -> list[Moment]:
    """Moments whose presence is not judged yet."""
    starts_s, ends_s = timeline.seconds(spans.positions[:, 0], spans.positions[:, 1])
    return [
        Moment(video, float(start), float(end), float(score), float(presence), np.nan, np.nan)
        for start, end, score, presence in zip(starts_s, ends_s, spans.scores, spans.presence, strict=True)
    ]


def _moments_of_lives(
    video: str, lives: Lives, scores: NDArray[np.float64], *, theta: float, offset: float, least: float, top_k: int
) -> list[Moment]:
    """Moments of the best lives by their scores without theta, whose presence is not judged yet."""
    presence, moments = scores - offset, []
    for life in best_lives(lives, presence, top_k=top_k, above=least):
        start_s, end_s = lives.lives_s[life].tolist()
        left, top, right, bottom = lives.boxes[life].tolist()
        best_s, number = float(lives.best_s[life]), int(lives.numbers[life])
        score = float(scores[life] - theta)
        moments.append(
            Moment(video, start_s, end_s, score, float(presence[life]), np.nan, np.nan, number, (left, top, right, bottom), best_s)
        )
    return moments
