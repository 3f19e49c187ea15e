"""Grounding: features and a sentence in, moments out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backends.routes import Route, choose, open_route
from wsra.runtime.bundle import TOKENIZER, Bundle, Manifest, SpanPlan, open_bundle
from wsra.runtime.devices.device import Device, this_device
from wsra.runtime.errors import BackendError, ConfigError, FeatureError
from wsra.runtime.kernels.choose import KernelName, open_kernel
from wsra.runtime.keys import made_by
from wsra.runtime.maximal import maximal_of
from wsra.runtime.moments import Moment, best_first, best_of_ladder
from wsra.runtime.parts import GAP_S, Joined, JoinedRows, Recording, recording_of
from wsra.runtime.score import SnippetScorer
from wsra.runtime.spans import BlockSums, ladder_means, ladder_sums, running_sums, sums_between
from wsra.runtime.text import TextEncoder
from wsra.runtime.windows import Timeline, planned_positions, seconds_ladder

Spans = tuple[NDArray[np.float64], NDArray[np.float64]]  # positions (n, 2) and scores (n,)
WINDOWS = 1024  # pooled windows whose means stand in memory together


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

    def __init__(self, manifest: Manifest, encoder: TextEncoder, scorer: SnippetScorer, *, bundle: Path, precision: str) -> None:
        self.manifest = manifest
        self.encoder = encoder
        self.scorer = scorer
        self.bundle = bundle
        self.precision = precision

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        precision: str = "auto",
        provider: str = "auto",
        threads: int = 0,
        allow_fallback: bool = False,
        kernel: KernelName = "auto",
        keep_keys: bool = False,
    ) -> Grounder:
        """Open a bundle.

        Args:
            folder: the bundle.
            precision: "auto" or one of the bundle's.
            provider: "auto", "cpu", "cuda", "tensorrt" (ONNX Runtime's) or "engine" (plans of `wsra build`).
            threads: of ONNX Runtime on the CPU, where 0 lets it decide, and of the kernel, where 0 takes every core.
            allow_fallback: run on the CPU where the provider cannot be had, instead of refusing.
            kernel: what scores snippets: "numba" (extra `fast`), "numpy", "graph", or "auto", the fastest of them that there is.
            keep_keys: keep the keys of .feat files beside them as `x.keys`.

        Raises:
            BundleError: the bundle cannot be used.
            BackendError: the provider cannot be had, or a graph cannot be loaded.
            MissingExtraError: a library is not installed.
        """
        bundle, device = open_bundle(Path(folder)), this_device()
        route = choose(bundle, device, precision, provider)
        return cls.of_route(bundle, route, device, threads=threads, allow_fallback=allow_fallback, kernel=kernel, keep_keys=keep_keys)

    @classmethod
    def of_route(
        cls,
        bundle: Bundle,
        route: Route,
        device: Device,
        *,
        threads: int = 0,
        allow_fallback: bool = False,
        kernel: KernelName = "auto",
        keep_keys: bool = False,
    ) -> Grounder:
        """As `open`, for a bundle that is open already and a route that is chosen."""
        graphs = open_route(bundle, route, device, graphs=("text", "keys"), threads=threads, allow_fallback=allow_fallback)
        encoder = TextEncoder(bundle.folder / TOKENIZER, graphs["text"], max_tokens=bundle.manifest.text["max_tokens"])
        keys = graphs["keys"]
        opened = open_kernel(bundle, route, device, kernel, on_cpu=keys.device == "cpu", threads=threads, allow_fallback=allow_fallback)
        scorer = SnippetScorer(keys, opened, made=made_by(bundle, route.precision, keys.provider) if keep_keys else None)
        return cls(bundle.manifest, encoder, scorer, bundle=bundle.folder, precision=route.precision)

    def __enter__(self) -> Grounder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give back what the graphs hold, on a GPU its memory."""
        for held in (self.encoder.backend, *self.scorer.graphs):
            held.__exit__(kind, error, trace)

    def ground(self, features: Recording, query: str, *, top_k: int = 5, plan: SpanPlan | None = None) -> list[Moment]:
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

    def answer(self, features: Recording, query: str, *, top_k: int = 5, plan: SpanPlan | None = None) -> Answer:
        """As `ground`, with the score curve of the whole video."""
        return self.answers(features, [query], top_k=top_k, plan=plan)[0]

    def answers(self, features: Recording, queries: Sequence[str], *, top_k: int = 5, plan: SpanPlan | None = None) -> list[Answer]:
        """As `answer` for several sentences; the keys of the video are computed once."""
        return self.answers_to_vectors(features, queries, self.encoder.encode(queries), top_k=top_k, plan=plan)

    def answers_to_vectors(
        self, features: Recording, queries: Sequence[str], text: NDArray[np.float32], *, top_k: int = 5, plan: SpanPlan | None = None
    ) -> list[Answer]:
        """As `answers`, for sentences whose vectors (Q, Dt) are there already."""
        recording = self._checked(features)
        logits = self._logits(recording, text)
        plan = plan or self.manifest.plan
        if self.manifest.span_score == "pooled":
            best: Iterable[Spans] = self._pooled_spans(recording, text, plan, top_k)
        else:
            best = (self._additive_spans(recording, row, plan, top_k) for row in logits)
        timeline, found = Timeline(recording.times_s), []
        for query, row, (positions, scores) in zip(queries, logits, best, strict=True):
            if not (np.isfinite(row).all() and np.isfinite(scores).all()):
                raise BackendError(
                    f"{self.bundle}: {self.precision} gives NaN or infinite scores for {query!r} in {features.video}; run wsra verify"
                )
            starts_s, ends_s = timeline.seconds(positions[:, 0], positions[:, 1])
            moments = [
                Moment(features.video, float(start), float(end), float(score))
                for start, end, score in zip(starts_s, ends_s, scores, strict=True)
            ]
            found.append(Answer(query, recording.video, moments, row.astype(np.float64) - self.manifest.theta, recording.times_s))
        return found

    def window_scores(self, features: Recording, queries: Sequence[str], windows_s: NDArray[np.float64]) -> NDArray[np.float64]:
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
        recording = self._checked(features)
        positions, text = Timeline(recording.times_s).positions(windows_s), self.encoder.encode(queries)
        if self.manifest.span_score == "pooled":
            scores = _phi(self._pooled_logits(recording, text, positions))
        else:
            logits = self._logits(recording, text)
            scores = np.stack([sums_between(running_sums(row.astype(np.float64) - self.manifest.theta), positions) for row in logits])
        if not np.isfinite(scores).all():
            raise BackendError(f"{self.bundle}: {self.precision} gives NaN or infinite scores in {features.video}; run wsra verify")
        return scores

    def check(self, features: Recording) -> None:
        """Refuse features that another backbone made.

        Raises:
            FeatureError: backbone or width differ from the bundle's.
        """
        if features.backbone != self.manifest.backbone or features.width != self.manifest.feature_width:
            raise FeatureError(
                f"{features.video}: features of {features.backbone} ({features.width} wide); the bundle {self.bundle} expects"
                f" {self.manifest.backbone} ({self.manifest.feature_width} wide): extract the video with that backbone"
            )

    def _checked(self, features: Recording) -> Joined:
        self.check(features)
        return recording_of(features)

    def _logits(self, recording: Joined, text: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (Q, T) of all snippets; one part is open at a time."""
        logits, row = np.empty((len(text), len(recording)), np.float32), 0
        for number, part in enumerate(recording.parts):
            logits[:, row : row + len(part)] = self.scorer.logits(self._keys(recording, number), text)
            row += len(part)
        return logits

    def _keys(self, recording: Joined, number: int) -> NDArray[Any]:
        """Keys of a part; kept are those of its whole video."""
        part = recording.parts[number]
        return self.scorer.keys(part.features())[part.first : part.last]

    def _rows(self, recording: Joined) -> JoinedRows:
        lengths = [len(part) for part in recording.parts]
        return JoinedRows(lengths, width=self.scorer.key_width, rows=lambda number: self._keys(recording, number))

    def _additive_spans(self, features: Joined, logits: NDArray[np.float32], plan: SpanPlan, top_k: int) -> Spans:
        """The best spans by the sum of what speaks for the sentence; only those above 0."""
        excess = logits.astype(np.float64) - self.manifest.theta
        if not np.isfinite(excess).all():
            return np.zeros((1, 2)), np.full(1, np.nan)
        running = running_sums(excess)
        if plan == "maximal":
            positions, scores = _maximal(features, excess, running, compiled=self.scorer.kernel == "numba")
        elif plan == "seconds":
            ladder = seconds_ladder(features.times_s)
            return best_of_ladder(ladder, ladder_sums(running, ladder), count=top_k, above=0.0)
        else:
            positions = planned_positions(plan, Timeline(features.times_s), features.times_s, features.duration_s)
            scores = sums_between(running, positions)
            positions, scores = positions[scores > 0], scores[scores > 0]
        best = best_first(scores)[:top_k]
        return positions[best], scores[best]

    def _pooled_spans(self, features: Joined, text: NDArray[np.float32], plan: SpanPlan, top_k: int) -> Iterator[Spans]:
        """The best spans of each sentence by phi of their mean key, the paper's score; whatever it is."""
        if plan == "maximal":
            raise ConfigError(f"{self.bundle}: scores pooled windows; the plan maximal needs a score per snippet: use relative or seconds")
        if plan == "seconds":
            ladder = seconds_ladder(features.times_s)
            logits = [np.empty((len(text), rung.windows), np.float32) for rung in ladder]
            for number, first, means in ladder_means(self._rows(features), ladder):
                logits[number][:, first : first + len(means)] = self.scorer.logits(means, text)
            for query in range(len(text)):
                found, scores = best_of_ladder(ladder, [rung[query] for rung in logits], count=top_k)
                yield found, _phi(scores)
            return
        positions = planned_positions(plan, Timeline(features.times_s), features.times_s, features.duration_s)
        for row in _phi(self._pooled_logits(features, text, positions)):
            best = best_first(row)[:top_k]
            yield positions[best], row[best]

    def _pooled_logits(self, recording: Joined, text: NDArray[np.float32], positions: NDArray[np.float64]) -> NDArray[np.float32]:
        """Logits (Q, N) of the mean key of each span (N, 2)."""
        sums, logits = BlockSums(self._rows(recording)), np.empty((len(text), len(positions)), np.float32)
        for first in range(0, len(positions), WINDOWS):
            means = sums.means(positions[first : first + WINDOWS]).astype(np.float32)
            logits[:, first : first + WINDOWS] = self.scorer.logits(means, text)
        return logits


def _phi(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))


def _maximal(features: Joined, excess: NDArray[np.float64], running: NDArray[np.float64], *, compiled: bool) -> Spans:
    """Maximal spans of every stretch of video without a longer gap; none reaches over a gap."""
    gaps = features.times_s[1:, 0] - features.times_s[:-1, 1]
    edges = [0, *(np.flatnonzero(gaps > GAP_S) + 1).tolist(), len(features)]
    found = [maximal_of(excess[first:last], running[first : last + 1], compiled=compiled) for first, last in itertools.pairwise(edges)]
    positions = np.concatenate([spans + first for (spans, _), first in zip(found, edges[:-1], strict=True)])
    return positions, np.concatenate([scores for _, scores in found])
