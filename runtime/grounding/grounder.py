"""Grounding: features and a sentence in, moments out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.choice import choose
from wsra.runtime.backends.routes import Route, open_route
from wsra.runtime.backends.settings import DEFAULT, KernelName, ProviderName, RunInfo, RunSettings
from wsra.runtime.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, FeatureError
from wsra.runtime.formats.bundle import TOKENIZER, Bundle, Manifest, SpanPlan, open_bundle
from wsra.runtime.formats.features import Features, FeatureSummary
from wsra.runtime.formats.vocabulary import Vocabulary, vocabulary_in
from wsra.runtime.grounding.answers import Answer, judged, moments_of
from wsra.runtime.grounding.candidates import phi
from wsra.runtime.grounding.keys import made_by
from wsra.runtime.grounding.presence import least_score, read_reference
from wsra.runtime.grounding.recording import Recording, recording_of
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.grounding.text import QueryEncoder
from wsra.runtime.kernels.choose import open_kernel
from wsra.runtime.kernels.graph import GraphKernel
from wsra.runtime.sentences.notes import Note, notes_on
from wsra.runtime.spans.moments import Moment
from wsra.runtime.spans.sums import running_sums, sums_between
from wsra.runtime.spans.windows import Timeline


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
        device: int = 0,
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
            device: number of the GPU, from 0.

        Raises:
            ConfigError: there is no such GPU.
            BundleError: the bundle cannot be used.
            BackendError: the provider cannot be had, or a graph cannot be loaded.
            MissingExtraError: a library is not installed.
        """
        settings = RunSettings(precision, provider, threads, allow_fallback, kernel, device)
        bundle, machine = open_bundle(Path(folder)), this_device(gpu=device)
        return cls.of_route(bundle, choose(bundle, machine, settings), machine, settings, keep_keys=keep_keys)

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
            made = made_by(bundle, route.precision, keys.provider) if keep_keys else None
            scorer = SnippetScorer(keys, kernel, reference=read_reference(bundle), made=made)
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

    def ground(
        self,
        features: Features | Recording,
        query: str,
        *,
        top_k: int = 5,
        plan: SpanPlan | None = None,
        false_alarms: float | None = None,
        hours: float | None = None,
    ) -> list[Moment]:
        """The moments of a video that match a sentence, best first.

        Args:
            features: of the video, or of the parts of a recording.
            query: the sentence.
            top_k: how many at most; changes no span and no confidence.
            plan: of candidate spans, if not the bundle's.
            false_alarms: per hour that are accepted, above 0; infinity finds every candidate. None: a confidence of 1/2 is enough.
            hours: of video that are asked, if this is only a part of them.

        Returns:
            Moments in presentation seconds; none when no candidate is found.

        Raises:
            QueryError: the sentence is empty or too long.
            FeatureError: the features are not of the bundle's backbone.
            BackendError: a graph fails, or gives numbers that are not finite.
            ConfigError: the bundle has no score for the spans of the plan, or `false_alarms` or `hours` is not above 0.
        """
        return self.answer(features, query, top_k=top_k, plan=plan, false_alarms=false_alarms, hours=hours).moments

    def notes(self, query: str) -> list[Note]:
        """What this bundle cannot take from a sentence: words that it never learned, negation, numbers, times, other languages.

        Raises:
            BundleError: the bundle's vocabulary cannot be read.
        """
        return notes_on(query, self._vocabulary, of_objects=self.manifest.span_score == "lives")

    @cached_property
    def _vocabulary(self) -> Vocabulary | None:
        return vocabulary_in(Bundle(self.bundle, self.manifest))

    def answer(
        self,
        features: Features | Recording,
        query: str,
        *,
        top_k: int = 5,
        plan: SpanPlan | None = None,
        false_alarms: float | None = None,
        hours: float | None = None,
    ) -> Answer:
        """As `ground`, with the best candidate and the score curve of the whole video."""
        return self.answers(features, [query], top_k=top_k, plan=plan, false_alarms=false_alarms, hours=hours)[0]

    def answers(
        self,
        features: Features | Recording,
        queries: Sequence[str],
        *,
        top_k: int = 5,
        plan: SpanPlan | None = None,
        false_alarms: float | None = None,
        hours: float | None = None,
    ) -> list[Answer]:
        """As `answer` for several sentences; the keys of the video are computed once."""
        text = self.encoder.encode(queries)
        return self.answers_to_vectors(features, queries, text, top_k=top_k, plan=plan, false_alarms=false_alarms, hours=hours)

    def answers_to_vectors(
        self,
        features: Features | Recording,
        queries: Sequence[str],
        text: NDArray[np.float32],
        *,
        top_k: int = 5,
        plan: SpanPlan | None = None,
        false_alarms: float | None = None,
        hours: float | None = None,
        levels: NDArray[np.float64] | None = None,
    ) -> list[Answer]:
        """As `answers`, for sentences whose vectors (Q, Dt) and perhaps levels (Q,), those of `Scorer.levels`, are there already."""
        for name, value in (("false_alarms", false_alarms), ("hours", hours)):
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; expected a number above 0")
        recording, plan = self._checked(features), self.planned(plan)
        hours = hours or max(recording.duration_s, 1.0) / 3600
        least = least_score(self.manifest.presence, hours, false_alarms)
        logits = self.scorer.logits(recording, text)
        levels = self.scorer.levels(text) if levels is None else levels
        for query, row, level in zip(queries, logits, levels, strict=True):
            if not (np.isfinite(row).all() and np.isfinite(level)):
                raise self._not_finite(query, features.video)
        answers, theta = [], self.manifest.theta
        found = moments_of(recording, logits, text, self.scorer, self.manifest, plan=plan, levels=levels, least=least, top_k=top_k)
        for query, row, (moments, best) in zip(queries, logits, found, strict=True):
            if not all(np.isfinite(moment.score) for moment in [*moments, *best]):
                raise self._not_finite(query, features.video)
            moments, best = ([judged(moment, self.manifest.presence, hours) for moment in some] for some in (moments, best))
            only = recording.parts[0].source if len(recording.parts) == 1 else None
            answers.append(Answer(query, recording.video, moments, best[0] if best else None, row, theta, recording.times_s, hours, only))
        return answers

    def _not_finite(self, query: str, video: str) -> BackendError:
        return BackendError(f"{self.bundle}: {self.precision} gives NaN or infinite scores for {query!r} in {video}; run wsra verify")

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
        if self.manifest.span_score == "pooled" and plan in ("peaks", "maximal"):
            raise ConfigError(f"{self.bundle}: scores pooled windows; the plan {plan} needs a score per snippet: use relative or seconds")
        return plan

    def check(self, features: Features | FeatureSummary | Recording) -> None:
        """Refuse features that another backbone made.

        Raises:
            FeatureError: backbone or width differ from the bundle's.
        """
        Bundle(self.bundle, self.manifest).check_features(features)

    def _checked(self, features: Features | Recording) -> Recording:
        self.check(features)
        recording = recording_of(features)
        if (recording.lives is None) != (self.manifest.span_score != "lives"):
            has, wants = ("snippets", "objects") if recording.lives is None else ("objects", "snippets")
            raise FeatureError(f"{features.video}: features of {has}; the bundle {self.bundle} expects those of {wants}: extract it anew")
        return recording
