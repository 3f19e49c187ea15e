"""Grounding: features and a sentence in, moments out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.routes import Route, choose, open_route
from wsra.runtime.backends.settings import DEFAULT, KernelName, ProviderName, RunInfo, RunSettings
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, FeatureError
from wsra.runtime.formats.bundle import TOKENIZER, Bundle, Manifest, SpanPlan, open_bundle
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.candidates import Spans, additive_spans, phi, pooled_spans
from wsra.runtime.grounding.keys import made_by
from wsra.runtime.grounding.lives import Lives, best_lives
from wsra.runtime.grounding.recording import Recording, recording_of
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.grounding.text import QueryEncoder
from wsra.runtime.kernels.choose import open_kernel
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.spans.moments import Moment
from wsra.runtime.spans.sums import running_sums, sums_between
from wsra.runtime.spans.windows import Timeline


@dataclass(frozen=True)
class Answer:
    """What is known of one query in one video.

    Attributes:
        query: the sentence.
        video: name of the video.
        moments: best first; empty when nothing speaks for the sentence.
        logits: (T,) of the rows: snippets, or objects in snippets.
        theta: the logit at which a row speaks neither for nor against.
        times_s: (T, 2) of the rows.
    """

    query: str
    video: str
    moments: list[Moment]
    logits: NDArray[np.float32]
    theta: float
    times_s: NDArray[np.float64]

    @property
    def curve(self) -> NDArray[np.float64]:
        """(T,) logit phi - theta of each row; above 0 speaks for the sentence."""
        return np.asarray(self.logits.astype(np.float64) - self.theta)


class Grounder:
    """Finds the moments of a video that match a sentence.

    Args (constructor):
        manifest: of the bundle.
        encoder: of sentences.
        scorer: of snippets.
        bundle: where it comes from.
        precision: which graphs it runs.
        owned: what it closes at the end of its block; a grounder that borrows the graphs of another one owns nothing.
    """

    def __init__(
        self,
        manifest: Manifest,
        encoder: QueryEncoder,
        scorer: SnippetScorer,
        *,
        bundle: Path,
        precision: str,
        owned: ExitStack | None = None,
    ) -> None:
        self.manifest = manifest
        self.encoder = encoder
        self.scorer = scorer
        self.bundle = bundle
        self.precision = precision
        self._owned = owned if owned is not None else ExitStack()

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        precision: str = "auto",
        provider: ProviderName = "auto",
        threads: int = 0,
        allow_fallback: bool = False,
        kernel: KernelName = "auto",
        keep_keys: bool = False,
    ) -> Grounder:
        """Open a bundle.

        Args:
            folder: the bundle.
            precision: as the other settings, see `RunSettings`.
            provider: where its graphs run.
            threads: on the CPU.
            allow_fallback: run on the CPU where the provider is not available.
            kernel: what scores snippets.
            keep_keys: keep the keys of .feat files next to them as `x.keys`.

        Raises:
            BundleError: the bundle cannot be used.
            BackendError: the provider cannot be had, or a graph cannot be loaded.
            MissingExtraError: a library is not installed.
        """
        settings = RunSettings(precision, provider, threads, allow_fallback, kernel)
        bundle, device = open_bundle(Path(folder)), this_device()
        return cls.of_route(bundle, choose(bundle, device, settings), device, settings, keep_keys=keep_keys)

    @classmethod
    def of_route(
        cls, bundle: Bundle, route: Route, device: Device, settings: RunSettings = DEFAULT, *, keep_keys: bool = False
    ) -> Grounder:
        """As `open`, for a bundle that is open already and a route that is chosen; closes what is open when a later part fails."""
        with ExitStack() as owned:
            graphs = open_route(bundle, route, device, settings, graphs=("text", "keys"))
            for graph in graphs.values():
                owned.enter_context(graph)
            encoder = QueryEncoder(bundle.folder / TOKENIZER, graphs["text"], max_tokens=bundle.manifest.text["max_tokens"])
            keys = graphs["keys"]
            kernel = open_kernel(bundle, route, device, settings, on_cpu=keys.device == "cpu")
            if isinstance(kernel, GraphKernel):
                owned.enter_context(kernel.graph)
            scorer = SnippetScorer(keys, kernel, made=made_by(bundle, route.precision, keys.provider) if keep_keys else None)
            return cls(bundle.manifest, encoder, scorer, bundle=bundle.folder, precision=route.precision, owned=owned.pop_all())

    def __enter__(self) -> Grounder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close every graph, also when closing one of them fails; on a GPU this frees its memory."""
        self._owned.__exit__(kind, error, trace)

    @property
    def ran(self) -> RunInfo:
        """How it runs."""
        return RunInfo(self.bundle, self.precision, self.scorer.provider, self.scorer.device, self.scorer.kernel.name)

    def ground(self, features: Features | Recording, query: str, *, top_k: int = 5, plan: SpanPlan | None = None) -> list[Moment]:
        """The moments of a video that match a sentence, best first.

        Args:
            features: of the video, or of the parts of a recording.
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

    def answer(self, features: Features | Recording, query: str, *, top_k: int = 5, plan: SpanPlan | None = None) -> Answer:
        """As `ground`, with the score curve of the whole video."""
        return self.answers(features, [query], top_k=top_k, plan=plan)[0]

    def answers(
        self, features: Features | Recording, queries: Sequence[str], *, top_k: int = 5, plan: SpanPlan | None = None
    ) -> list[Answer]:
        """As `answer` for several sentences; the keys of the video are computed once."""
        return self.answers_to_vectors(features, queries, self.encoder.encode(queries), top_k=top_k, plan=plan)

    def answers_to_vectors(
        self,
        features: Features | Recording,
        queries: Sequence[str],
        text: NDArray[np.float32],
        *,
        top_k: int = 5,
        plan: SpanPlan | None = None,
    ) -> list[Answer]:
        """As `answers`, for sentences whose vectors (Q, Dt) are there already."""
        recording, plan = self._checked(features), self.planned(plan)
        logits = self.scorer.logits(recording, text)
        found = self._moments(recording, logits, text, plan, top_k)
        answers = []
        for query, row, moments in zip(queries, logits, found, strict=True):
            if not (np.isfinite(row).all() and all(np.isfinite(moment.score) for moment in moments)):
                raise BackendError(
                    f"{self.bundle}: {self.precision} gives NaN or infinite scores for {query!r} in {features.video}; run wsra verify"
                )
            answers.append(Answer(query, recording.video, moments, row, self.manifest.theta, recording.times_s))
        return answers

    def _moments(
        self, recording: Recording, logits: NDArray[np.float32], text: NDArray[np.float32], plan: SpanPlan, top_k: int
    ) -> Iterable[list[Moment]]:
        """Per sentence its moments, best first; lazily, so that one sentence at a time stands in memory."""
        theta = self.manifest.theta
        if recording.lives is not None:
            lives = recording.lives
            return (_moments_of_lives(recording.video, lives, lives.scores(row - np.float64(theta)), top_k) for row in logits)
        if self.manifest.span_score == "pooled":
            assert plan != "maximal" and plan != "tracks"
            best: Iterable[Spans] = pooled_spans(recording, self.scorer, text, plan=plan, top_k=top_k)
        else:
            compiled = self.scorer.kernel.compiled
            best = (additive_spans(recording, row, plan=plan, theta=theta, top_k=top_k, compiled=compiled) for row in logits)
        timeline = Timeline(recording.times_s)
        return (_moments_of_spans(recording.video, timeline, spans) for spans in best)

    def window_scores(self, features: Features | Recording, queries: Sequence[str], windows_s: NDArray[np.float64]) -> NDArray[np.float64]:
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
            ConfigError: the bundle scores lives of objects.
        """
        if self.manifest.span_score == "lives":
            raise ConfigError(f"{self.bundle}: scores lives of objects, not given windows; use a bundle of snippet features")
        recording = self._checked(features)
        positions, text = Timeline(recording.times_s).positions(windows_s), self.encoder.encode(queries)
        if self.manifest.span_score == "pooled":
            scores = phi(self.scorer.pooled_logits(recording, positions, text))
        else:
            logits = self.scorer.logits(recording, text)
            scores = np.stack([sums_between(running_sums(row.astype(np.float64) - self.manifest.theta), positions) for row in logits])
        if not np.isfinite(scores).all():
            raise BackendError(f"{self.bundle}: {self.precision} gives NaN or infinite scores in {features.video}; run wsra verify")
        return scores

    def planned(self, plan: SpanPlan | None) -> SpanPlan:
        """The plan of candidate spans: that which was asked for, else the bundle's.

        Raises:
            ConfigError: the bundle has no score for its spans.
        """
        plan = plan or self.manifest.plan
        if (self.manifest.span_score == "lives") != (plan == "tracks"):
            has, wants = ("objects", "tracks") if self.manifest.span_score == "lives" else ("snippets", "another plan")
            raise ConfigError(f"--plan {plan}: {self.bundle} is for features of {has}; expected {wants}: leave --plan out")
        if self.manifest.span_score == "pooled" and plan == "maximal":
            raise ConfigError(f"{self.bundle}: scores pooled windows; the plan maximal needs a score per snippet: use relative or seconds")
        return plan

    def check(self, features: Features | Recording) -> None:
        """Refuse features that another backbone made.

        Raises:
            FeatureError: backbone or width differ from the bundle's.
        """
        if features.backbone != self.manifest.backbone or features.width != self.manifest.feature_width:
            raise FeatureError(
                f"{features.video}: features of {features.backbone} ({features.width} wide); the bundle {self.bundle} expects"
                f" {self.manifest.backbone} ({self.manifest.feature_width} wide): extract the video with that backbone"
            )

    def _checked(self, features: Features | Recording) -> Recording:
        self.check(features)
        recording = recording_of(features)
        if (recording.lives is None) != (self.manifest.span_score != "lives"):
            has, wants = ("snippets", "objects") if recording.lives is None else ("objects", "snippets")
            raise FeatureError(f"{features.video}: features of {has}; the bundle {self.bundle} expects those of {wants}: extract it anew")
        return recording


def _moments_of_spans(video: str, timeline: Timeline, spans: Spans) -> list[Moment]:
    positions, scores = spans
    starts_s, ends_s = timeline.seconds(positions[:, 0], positions[:, 1])
    return [Moment(video, float(start), float(end), float(score)) for start, end, score in zip(starts_s, ends_s, scores, strict=True)]


def _moments_of_lives(video: str, lives: Lives, scores: NDArray[np.float64], top_k: int) -> list[Moment]:
    if np.isnan(scores).any():
        return [Moment(video, 0.0, 0.0, np.nan)]
    moments = []
    for life in best_lives(lives, scores, top_k=top_k):
        start_s, end_s = lives.lives_s[life].tolist()
        left, top, right, bottom = lives.boxes[life].tolist()
        best_s, number = float(lives.best_s[life]), int(lives.numbers[life])
        moments.append(Moment(video, start_s, end_s, float(scores[life]), number, (left, top, right, bottom), best_s))
    return moments
