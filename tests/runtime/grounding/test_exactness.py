"""Grounding is exact at any length, however the video is cut, chunked, threaded or asked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from presences import ALWAYS

from wsra.runtime.errors import BackendError
from wsra.runtime.formats.bundle import Manifest
from wsra.runtime.formats.features import Features
from wsra.runtime.formats.presence import Presence
from wsra.runtime.grounding.answers import Answer
from wsra.runtime.grounding.grounder import Grounder
from wsra.runtime.grounding.recording import Recording, joined
from wsra.runtime.grounding.scorer import SnippetScorer
from wsra.runtime.kernels.numba_kernel import FusedKernel, fused_failure
from wsra.runtime.kernels.numpy_kernel import NumpyKernel
from wsra.runtime.kernels.protocol import Kernel
from wsra.runtime.kernels.weights import Trained
from wsra.runtime.spans.peaks import smoothed

pytestmark = pytest.mark.device
WIDTH, KEYS, TEXT = 6, 16, 5
PLANS = ("peaks", "maximal", "seconds", "relative")
STRIDES = 78  # the least common multiple of 1, 1, 2, 3, 6, 13 and 26, the strides of `seconds` at 1 s
RNG = np.random.default_rng(0)
WEIGHTS = Trained(
    mean=np.zeros(TEXT, np.float32),
    scale=1.0,
    weight=RNG.normal(size=(KEYS, TEXT)).astype(np.float32),
    added=RNG.normal(size=KEYS).astype(np.float32),
    out=RNG.normal(size=KEYS).astype(np.float32),
    bias=0.1,
    direction_weight=RNG.normal(size=(KEYS, TEXT)).astype(np.float32),
    direction_added=RNG.normal(size=KEYS).astype(np.float32),
    gain=3.0,
)
VIDEO = RNG.normal(size=(WIDTH, KEYS)).astype(np.float32)
REFERENCE = RNG.normal(size=(50, KEYS)).astype(np.float16)


class KeysGraph:
    """features @ VIDEO, row by row: how many rows come together changes no bit."""

    provider, device = "NumPy", "cpu"
    outputs: ClassVar = {"keys": SimpleNamespace(shape=("snippets", KEYS))}

    def infer(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        return {"keys": np.einsum("td,dh->th", feeds["features"].astype(np.float64), VIDEO, optimize=False).astype(np.float32)}


def grounder(
    *, theta: float, kernel: Kernel | None = None, chunk: int = 1024, span_score: str = "additive", presence: Presence = ALWAYS
) -> Grounder:
    manifest: Any = SimpleNamespace(
        theta=theta, presence=presence, span_score=span_score, plan="maximal", backbone="test", feature_width=WIDTH, snippet_s=1.0
    )
    assert set(vars(manifest)) <= set(Manifest.__annotations__)
    scorer = SnippetScorer(KeysGraph(), kernel or NumpyKernel(WEIGHTS, threads=1), reference=REFERENCE, chunk=chunk)  # type: ignore[arg-type]
    return Grounder(manifest, SimpleNamespace(), scorer, bundle=Path("bundle"), precision="fp32")  # type: ignore[arg-type]


def video(values: np.ndarray, name: str = "v") -> Features:
    starts = np.arange(len(values), dtype=np.float64)
    return Features(values, np.stack([starts, starts + 1], axis=1), name, float(len(values)), "test")


def answers(one: Grounder, features: Features | Recording, text: np.ndarray, plan: str, top_k: int = 8) -> list[Answer]:
    return one.answers_to_vectors(features, [str(q) for q in range(len(text))], text, plan=plan, top_k=top_k)  # type: ignore[arg-type]


def same(got: list[Answer], expected: list[Answer], *, scale: float = 1.0, shift_s: float = 0.0) -> None:
    """The same moments, and equally present best candidates; scores to 1e-5 of the largest logit of the video, per snippet of a moment.

    Where two spans score the same to that precision, or one scores as good as nothing, rounding decides which is found, and with it what is
    left for the next.
    """
    for one, other in zip(got, expected, strict=True):
        near_tie = False
        for moment, wanted in itertools.zip_longest(one.moments, other.moments):
            spans_s = [
                (moment.start_s, moment.end_s) if moment else None,
                (wanted.start_s + shift_s, wanted.end_s + shift_s) if wanted else None,
            ]
            longest_s = max(span[1] - span[0] for span in spans_s if span)
            scores = [found.score if found else 0.0 for found in (moment, wanted)]
            assert abs(scores[0] - scores[1]) <= 1e-5 * scale * longest_s, (spans_s, scores)
            if spans_s[0] != spans_s[1]:
                near_tie = True
                break
        if near_tie:  # the best candidate may be one of those that differ
            continue
        if one.best is not None and other.best is not None:
            assert abs(one.best.presence - other.best.presence) <= 2e-5 * max(scale, 1.0), (one.best, other.best)
        else:
            assert all(best is None or abs(best.score) <= 1e-5 * scale * len(one.logits) for best in (one.best, other.best))


def theta_of(text: np.ndarray, features: Features, share: float) -> float:
    """Between two logits, for a snippet exactly at theta may fall to either side."""
    logits = np.sort(answers(grounder(theta=0.0), features, text[:1], "maximal")[0].curve)
    above = min(int(share * len(logits)) + 1, len(logits) - 1)
    return float((logits[above - 1] + logits[above]) / 2) if above else float(logits[0]) - 0.5


@settings(max_examples=40, deadline=None, derandomize=True)  # near ties are no errors, but seldom
@given(
    count=st.integers(1, 700),
    cuts=st.lists(st.integers(1, 699), max_size=5),
    queries=st.integers(1, 4),
    chunk=st.integers(1, 300),
    block=st.integers(1, 300),
    plan=st.sampled_from(PLANS),
    span_score=st.sampled_from(["additive", "pooled"]),
    share=st.sampled_from([0.3, 0.7, 0.95]),
    offset=st.sampled_from([0.0, 50.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nothing_but_the_video_and_the_sentence_counts(
    count: int, cuts: list[int], queries: int, chunk: int, block: int, plan: str, span_score: str, share: float, offset: float, seed: int
) -> None:
    if plan in ("peaks", "maximal") and span_score == "pooled":
        plan = "seconds"
    if plan == "relative":
        count = max(count, 12)  # in shorter videos windows lie within one snippet, and score alike
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(count, WIDTH)) + offset).astype(np.float32)
    text = rng.normal(size=(queries, TEXT)).astype(np.float32)
    whole = video(values)
    theta = theta_of(text, whole, share)
    scale = max(float(np.abs(one.curve).max()) for one in answers(grounder(theta=0.0), whole, text, "maximal"))
    expected = answers(grounder(theta=theta, span_score=span_score), whole, text, plan)

    edges = [0, *sorted({cut for cut in cuts if cut < count}), count]
    parts = [video(values[a:b], f"part{a}") for a, b in itertools.pairwise(edges)]
    same(answers(grounder(theta=theta, span_score=span_score), joined(parts, video="v"), text, plan), expected, scale=scale)

    kernels: list[Kernel] = [NumpyKernel(WEIGHTS, block=block, threads=1)]
    if fused_failure() is None:
        kernels.append(FusedKernel(WEIGHTS, threads=1))
    for kernel in kernels:
        same(answers(grounder(theta=theta, kernel=kernel, chunk=chunk, span_score=span_score), whole, text, plan), expected, scale=scale)
    single = [answers(grounder(theta=theta, span_score=span_score), whole, row[None], plan)[0] for row in text]
    same(single, expected, scale=scale)
    for top_k in (1, 3):
        fewer = answers(grounder(theta=theta, span_score=span_score), whole, text, plan, top_k)
        assert [(one.moments, one.best) for one in fewer] == [(one.moments[:top_k], one.best) for one in expected]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(steps=st.integers(1, 4), plan=st.sampled_from(["peaks", "maximal", "seconds"]), seed=st.integers(0, 2**32 - 1))
def test_a_shift_by_all_strides_shifts_the_answers(steps: int, plan: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = rng.normal(size=(1, TEXT)).astype(np.float32)
    quiet, loud = (rng.normal(size=WIDTH).astype(np.float32) for _ in range(2))
    probe = answers(grounder(theta=0.0), video(np.stack([quiet, loud])), text, "maximal")[0].curve
    if probe[0] > probe[1]:
        quiet, loud, probe = loud, quiet, probe[::-1]
    values = np.tile(quiet, (700, 1))
    for start, length in ((200, 9), (300, 40), (430, 3)):
        values[start : start + length] = loud
    values += rng.normal(size=values.shape).astype(np.float32) * 0.01
    one = grounder(theta=float(probe[0] + 0.6 * (probe[1] - probe[0])))
    count = 3 if plan == "peaks" else 8  # beyond the three events, peaks are noise, and that at the edge has other neighbours when shifted
    expected = answers(one, video(values), text, plan, count)
    shifted = np.concatenate([np.tile(quiet, (steps * STRIDES, 1)), values])
    same(answers(one, video(shifted), text, plan, count), expected, shift_s=float(steps * STRIDES))
    assert expected[0].moments


def test_a_day_of_large_offsets_against_float64() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(86_400, WIDTH)) + rng.choice([-1000.0, 1000.0], WIDTH)).astype(np.float32)
    text = rng.normal(size=(1, TEXT)).astype(np.float32)
    features = video(values)
    keys = grounder(theta=0.0).scorer.keys(features).astype(np.float64)
    offsets = text.astype(np.float64) @ WEIGHTS.weight.T.astype(np.float64) + WEIGHTS.added
    cosines = (keys @ WEIGHTS.directions(text)[0].astype(np.float64)) / np.linalg.norm(keys, axis=1)
    exact = np.maximum(keys + offsets, 0) @ WEIGHTS.out.astype(np.float64) + WEIGHTS.bias + cosines
    size = float(((np.abs(keys) + np.abs(offsets)) @ np.abs(WEIGHTS.out).astype(np.float64)).max())  # of what is added up
    theta = float(np.quantile(exact, 0.9))
    curve = smoothed(exact, np.array([0, len(exact)]))
    for plan in ("peaks", "maximal", "seconds"):
        answer = answers(grounder(theta=theta), features, text, plan)[0]
        assert np.abs(answer.curve - (exact - theta)).max() < 1e-6 * size
        assert len(answer.moments) == 8
        for moment in answer.moments:
            inside = slice(int(moment.start_s), int(moment.end_s))
            wanted = (curve[inside] - theta).max() if plan == "peaks" else (exact[inside] - theta).sum()
            assert abs(moment.score - wanted) < 1e-6 * size * (moment.end_s - moment.start_s)


def test_keys_of_another_width_than_the_graph_declares_are_refused() -> None:
    class Wider(KeysGraph):
        outputs: ClassVar = {"keys": SimpleNamespace(shape=("snippets", KEYS - 1))}

    scorer = SnippetScorer(Wider(), NumpyKernel(WEIGHTS, threads=1), reference=REFERENCE)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=r"gives \(3, 16\); expected \(3, 15\)"):
        scorer.keys(video(np.zeros((3, WIDTH), np.float32)))
