"""Grounding: features and a sentence in, moments out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.bundle import TOKENIZER, Bundle, Manifest, SpanPlan, open_bundle
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, FeatureError
from wsra.runtime.features import Features
from wsra.runtime.moments import Moment, best_first, suppress
from wsra.runtime.routes import Route, choose, open_route
from wsra.runtime.score import GraphScorer
from wsra.runtime.spans import additive_scores, maximal_spans
from wsra.runtime.text import TextEncoder
from wsra.runtime.windows import Timeline, planned_positions

GAP_S = 5.0  # a recording that was off for longer is two stretches


@dataclass(frozen=True)
class Answer:
    """What is known of one query in one video.

    Attributes:
        query: the sentence.
        video: name of the video.
        moments: best first; empty when nothing speaks for the sentence.
        curve: (T,) logit phi - theta of each snippet; above 0 speaks for the sentence.
        times_s: (T, 2) of the snippets.
    """

    query: str
    video: str
    moments: list[Moment]
    curve: NDArray[np.float64]
    times_s: NDArray[np.float64]


class Grounder:
    """Finds the moments of a video that match a sentence.

    Args (constructor):
        manifest: of the bundle.
        encoder: of sentences.
        scorer: of snippets.
        bundle: where it comes from.
        precision: which graphs it runs.
    """

    def __init__(self, manifest: Manifest, encoder: TextEncoder, scorer: GraphScorer, *, bundle: Path, precision: str) -> None:
        self.manifest = manifest
        self.encoder = encoder
        self.scorer = scorer
        self.bundle = bundle
        self.precision = precision

    @classmethod
    def open(
        cls, folder: Path | str, *, precision: str = "auto", provider: str = "auto", threads: int = 0, allow_fallback: bool = False
    ) -> Grounder:
        """Open a bundle.

        Args:
            folder: the bundle.
            precision: "auto" or one of the bundle's.
            provider: "auto", "cpu", "cuda", "tensorrt" (ONNX Runtime's) or "engine" (plans of `wsra build`).
            threads: of ONNX Runtime on the CPU; 0 lets it decide.
            allow_fallback: run on the CPU where the provider cannot be had, instead of refusing.

        Raises:
            BundleError: the bundle cannot be used.
            BackendError: the provider cannot be had, or a graph cannot be loaded.
            MissingExtraError: a library is not installed.
        """
        bundle, device = open_bundle(Path(folder)), this_device()
        route = choose(bundle, device, precision, provider)
        return cls.of_route(bundle, route, device, threads=threads, allow_fallback=allow_fallback)

    @classmethod
    def of_route(cls, bundle: Bundle, route: Route, device: Device, *, threads: int = 0, allow_fallback: bool = False) -> Grounder:
        """As `open`, for a bundle that is open already and a route that is chosen."""
        graphs = open_route(bundle, route, device, threads=threads, allow_fallback=allow_fallback)
        encoder = TextEncoder(bundle.folder / TOKENIZER, graphs["text"], max_tokens=bundle.manifest.text["max_tokens"])
        scorer = GraphScorer(graphs["keys"], graphs["scorer"])
        return cls(bundle.manifest, encoder, scorer, bundle=bundle.folder, precision=route.precision)

    def __enter__(self) -> Grounder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give back what the graphs hold, on a GPU its memory."""
        for backend in (self.encoder.backend, self.scorer.keys_graph, self.scorer.graph):
            backend.__exit__(kind, error, trace)

    def ground(self, features: Features, query: str, *, top_k: int = 5, plan: SpanPlan | None = None) -> list[Moment]:
        """The moments of a video that match a sentence, best first.

        Args:
            features: of the video.
            query: the sentence.
            top_k: how many at most; changes no span.
            plan: of candidate spans, if not the bundle's.

        Returns:
            Moments in presentation seconds; none when no span speaks for the sentence.

        Raises:
            QueryError: the sentence is empty or too long.
            FeatureError: the features are not of the bundle's backbone.
            BackendError: a graph fails, or gives numbers that are not finite.
        """
        return self.answer(features, query, top_k=top_k, plan=plan).moments

    def answer(self, features: Features, query: str, *, top_k: int = 5, plan: SpanPlan | None = None) -> Answer:
        """As `ground`, with the score curve of the whole video."""
        return self.answers(features, [query], top_k=top_k, plan=plan)[0]

    def answers(self, features: Features, queries: Sequence[str], *, top_k: int = 5, plan: SpanPlan | None = None) -> list[Answer]:
        """As `answer` for several sentences; the keys of the video are computed once."""
        return self.answers_to_vectors(features, queries, self.encoder.encode(queries), top_k=top_k, plan=plan)

    def answers_to_vectors(
        self, features: Features, queries: Sequence[str], text: NDArray[np.float32], *, top_k: int = 5, plan: SpanPlan | None = None
    ) -> list[Answer]:
        """As `answers`, for sentences whose vectors (Q, Dt) are there already."""
        self.check(features)
        keys = self.scorer.keys(features)
        timeline = Timeline(features.times_s)
        found = []
        for query, row in zip(queries, text, strict=True):
            logits = self.scorer.logits(keys, row[None])[0]
            if not np.isfinite(logits).all():
                raise BackendError(
                    f"{self.bundle}: {self.precision} gives NaN or infinite scores for {query!r} in {features.video}; run wsra verify"
                )
            positions, scores = self._spans(features, timeline, keys, row[None], logits, plan or self.manifest.plan, top_k)
            starts_s, ends_s = timeline.seconds(positions[:, 0], positions[:, 1])
            moments = [
                Moment(features.video, float(start), float(end), float(score))
                for start, end, score in zip(starts_s, ends_s, scores, strict=True)
            ]
            found.append(Answer(query, features.video, moments, logits.astype(np.float64) - self.manifest.theta, features.times_s))
        return found

    def window_scores(self, features: Features, queries: Sequence[str], windows_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of given windows, all of them, in their order.

        Args:
            features: of the video.
            queries: Q sentences.
            windows_s: (N, 2) seconds.

        Returns:
            (Q, N) span scores; a window without snippets scores 0 where scores add up, and means nothing where they are pooled.

        Raises:
            QueryError: a sentence is empty or too long.
            FeatureError: the features are not of the bundle's backbone.
            BackendError: a graph fails, or gives numbers that are not finite.
        """
        self.check(features)
        keys = self.scorer.keys(features)
        positions = Timeline(features.times_s).positions(windows_s)
        text = self.encoder.encode(queries)
        scores = np.stack([self._scores(keys, row[None], self.scorer.logits(keys, row[None])[0], positions) for row in text])
        if not np.isfinite(scores).all():
            raise BackendError(f"{self.bundle}: {self.precision} gives NaN or infinite scores in {features.video}; run wsra verify")
        return scores

    def check(self, features: Features) -> None:
        """Refuse features that another backbone made.

        Raises:
            FeatureError: backbone or width differ from the bundle's.
        """
        if features.backbone != self.manifest.backbone or features.width != self.manifest.feature_width:
            raise FeatureError(
                f"{features.video}: features of {features.backbone} ({features.width} wide); the bundle {self.bundle} expects"
                f" {self.manifest.backbone} ({self.manifest.feature_width} wide): extract the video with that backbone"
            )

    def _spans(
        self,
        features: Features,
        timeline: Timeline,
        keys: NDArray[np.float32],
        text: NDArray[np.float32],
        logits: NDArray[np.float32],
        plan: SpanPlan,
        top_k: int,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions (n, 2) and scores (n,) of the best spans."""
        if plan == "maximal":
            if self.manifest.span_score == "pooled":
                raise ConfigError(
                    f"{self.bundle}: scores pooled windows; the plan maximal needs a score per snippet: use relative or seconds"
                )
            positions, scores = self._maximal(features, logits)
            best = best_first(scores)[:top_k]
            return positions[best], scores[best]
        positions = planned_positions(plan, timeline, features.times_s, features.duration_s)
        scores = self._scores(keys, text, logits, positions)
        if self.manifest.span_score == "additive":
            positions, scores = positions[scores > 0], scores[scores > 0]
        best = np.array(suppress(positions, scores, count=top_k), int) if plan == "seconds" else best_first(scores)[:top_k]
        return positions[best], scores[best]

    def _scores(
        self, keys: NDArray[np.float32], text: NDArray[np.float32], logits: NDArray[np.float32], positions: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if self.manifest.span_score == "pooled":
            return self.scorer.pooled_scores(keys, text, positions)
        return additive_scores(logits, positions, self.manifest.theta)

    def _maximal(self, features: Features, logits: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Maximal spans of every stretch of video without a longer gap; none reaches over a gap."""
        gaps = features.times_s[1:, 0] - features.times_s[:-1, 1]
        edges = [0, *(np.flatnonzero(gaps > GAP_S) + 1).tolist(), len(features)]
        found = [maximal_spans(logits[first:last], self.manifest.theta) for first, last in itertools.pairwise(edges)]
        positions = np.concatenate([spans + first for (spans, _), first in zip(found, edges[:-1], strict=True)])
        return positions, np.concatenate([scores for _, scores in found])
