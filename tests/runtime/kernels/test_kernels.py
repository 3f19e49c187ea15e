from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsra.runtime.kernels.graph import MOST_QUERIES, GraphKernel
from wsra.runtime.kernels.numba_kernel import FusedKernel, fused_failure
from wsra.runtime.kernels.numpy_kernel import NumpyKernel
from wsra.runtime.kernels.protocol import FEWEST, Kernel, in_threads
from wsra.runtime.kernels.weights import SHORTEST, Cosine, Trained, Weights
from wsra.runtime.spans.sums import widen
from wsra.runtime.spans.windows import seconds_ladder

pytestmark = pytest.mark.device
TOLERANCE = 1e-5  # of the scale: the largest sum of what a float32 computation adds up
FUSED = pytest.param("numba", marks=pytest.mark.skipif(fused_failure() is not None, reason=f"{fused_failure()}"))


class Scorer:
    """The scorer's formula in float32, as a graph that notes its calls."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.calls = weights, []  # type: ignore[var-annotated]

    def infer(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((len(feeds["text"]), len(feeds["keys"])))
        return {"logits": exact(self.weights, feeds["keys"], feeds["text"])[0].astype(np.float32)}


def exact(weights: Weights, keys: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (Q, T) in float64 from the stored keys, and the scale of what is added up."""
    keys, text = keys.astype(np.float64), text.astype(np.float64)
    if isinstance(weights, Trained):
        products = ((text - weights.mean) * weights.scale)[:, None, :] * weights.weight.astype(np.float64)
        sums = keys[None] + (products.sum(axis=2) + weights.added)[:, None]
        size = np.abs(keys)[None] + (np.abs(products).sum(axis=2) + np.abs(weights.added))[:, None]
        out = weights.out.astype(np.float64)
        towards = ((text - weights.mean) * weights.scale) @ weights.direction_weight.astype(np.float64).T + weights.direction_added
        towards *= weights.gain / np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), SHORTEST)
        cosines = towards @ (keys / np.maximum(np.linalg.norm(keys, axis=1, keepdims=True), SHORTEST)).T
        scale = size @ np.abs(out) + abs(weights.bias) + abs(weights.gain)
        return np.maximum(sums, 0) @ out + weights.bias + cosines, scale
    directions = text / np.linalg.norm(text, axis=1, keepdims=True)
    vectors = keys[:, :-1].reshape(len(keys), weights.slots, weights.width)
    logits = weights.scale * (np.einsum("trd,qd->qtr", vectors, directions).max(axis=2) - keys[:, -1])
    size = weights.scale * (np.einsum("trd,qd->qtr", np.abs(vectors), np.abs(directions)).max(axis=2) + np.abs(keys[:, -1]))
    return logits, size


def trained(rng: np.random.Generator, width: int, *, text_width: int = 5) -> Trained:
    draw: Callable[..., np.ndarray] = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return Trained(
        mean=draw(text_width),
        scale=1.7,
        weight=draw(width, text_width),
        added=draw(width),
        out=draw(width),
        bias=float(rng.normal()),
        direction_weight=draw(width, text_width),
        direction_added=draw(width),
        gain=4.0,
    )


def kernel_of(name: str, weights: Weights, *, block: int = 128, threads: int = 1) -> Kernel:
    if name == "graph":
        return GraphKernel(Scorer(weights), chunk=block)  # type: ignore[arg-type]
    return FusedKernel(weights, threads=threads) if name == "numba" else NumpyKernel(weights, block=block, threads=threads)


@pytest.mark.parametrize("name", ["numpy", FUSED, "graph"])
@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 300),
    width=st.integers(1, 70),
    queries=st.integers(1, 11),
    block=st.integers(1, 310),
    half=st.booleans(),
    offset=st.sampled_from([0.0, 1.0, 900.0, -30_000.0, 55_000.0]),
    spread=st.sampled_from([1e-6, 1.0, 1000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_kernel_agrees_with_float64_from_the_stored_keys(
    name: str, rows: int, width: int, queries: int, block: int, half: bool, offset: float, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = trained(rng, width)
    keys = (offset + spread * rng.normal(size=(rows, width))).astype(np.float16 if half else np.float32)
    text = rng.normal(size=(queries, 5)).astype(np.float32)
    expected, scale = exact(weights, keys, text)
    got = kernel_of(name, weights, block=block).logits(keys, text)
    assert got.shape == (queries, rows) and got.dtype == np.float32
    assert (np.abs(got - expected) <= TOLERANCE * scale).all()


@pytest.mark.parametrize("name", ["numpy", FUSED, "graph"])
@settings(max_examples=30, deadline=None)
@given(
    rows=st.one_of(st.integers(1, 300), st.integers(1000, 2300)),
    width=st.sampled_from([1, 7, 64, 70, 130]),
    queries=st.integers(1, 3),
    snippet_s=st.sampled_from([0.5, 1.0, 3.0]),
    offset=st.sampled_from([0.0, 900.0, -30_000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_windows_of_a_ladder_are_scored_by_their_mean_keys(
    name: str, rows: int, width: int, queries: int, snippet_s: float, offset: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = trained(rng, width)
    keys = (offset + rng.normal(size=(rows, width))).astype(np.float16)
    text = rng.normal(size=(queries, 5)).astype(np.float32)
    starts = np.arange(rows) * snippet_s
    ladder = seconds_ladder(np.stack([starts, starts + snippet_s], axis=1))
    sums = np.concatenate([np.zeros((1, width)), np.cumsum(keys, axis=0, dtype=np.float64)])
    for rung, got in zip(ladder, kernel_of(name, weights, threads=2).window_logits(keys, ladder, text), strict=True):
        begins = np.arange(rung.windows) * rung.stride
        expected, scale = exact(weights, (sums[begins + rung.length] - sums[begins]) / rung.length, text)
        assert got.shape == expected.shape and (np.abs(got - expected) <= TOLERANCE * scale).all()


@pytest.mark.parametrize("name", ["numpy", FUSED])
def test_windows_of_a_ladder_on_any_number_of_threads(name: str) -> None:
    rng = np.random.default_rng(1)
    weights, keys, text = trained(rng, 300), rng.normal(size=(9000, 300)).astype(np.float16), rng.normal(size=(2, 5)).astype(np.float32)
    assert keys.size > 2 * FEWEST
    ladder = seconds_ladder(np.stack([np.arange(9000.0), np.arange(1, 9001.0)], axis=1))
    one, three = (kernel_of(name, weights, threads=threads).window_logits(keys, ladder, text) for threads in (1, 3))
    for first, other in zip(one, three, strict=True):
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("name", ["numpy", FUSED, "graph"])
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 200), slots=st.integers(1, 5), width=st.integers(1, 20), queries=st.integers(1, 4), seed=st.integers(0, 999))
def test_every_kernel_serves_zero_shot_bundles(name: str, rows: int, slots: int, width: int, queries: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = Cosine(slots, width, 100.0)
    keys = rng.normal(size=(rows, slots * width + 1)).astype(np.float16)
    text = rng.normal(size=(queries, width)).astype(np.float32)
    expected, scale = exact(weights, keys, text)
    assert (np.abs(kernel_of(name, weights, block=64).logits(keys, text) - expected) <= TOLERANCE * scale).all()


@pytest.mark.parametrize("name", ["numpy", FUSED])
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 400), width=st.integers(1, 130), queries=st.integers(2, 9), seed=st.integers(0, 999))
def test_a_sentence_is_scored_the_same_whatever_is_asked_with_it(name: str, rows: int, width: int, queries: int, seed: int) -> None:
    """To the last bit: a server answers the sentences of several clients together."""
    rng = np.random.default_rng(seed)
    weights = trained(rng, width, text_width=48)
    keys, text = rng.normal(size=(rows, width)).astype(np.float16), rng.normal(size=(queries, 48)).astype(np.float32)
    kernel, ladder = kernel_of(name, weights), seconds_ladder(np.stack([np.arange(float(rows)), np.arange(1.0, rows + 1)], axis=1))
    together, windows = kernel.logits(keys, text), kernel.window_logits(keys, ladder, text)
    for number in range(queries):
        alone = text[number : number + 1]
        assert np.array_equal(kernel.logits(keys, alone)[0], together[number])
        for one, other in zip(kernel.window_logits(keys, ladder, alone), windows, strict=True):
            assert np.array_equal(one[0], other[number])


@pytest.mark.parametrize("name", ["numpy", FUSED])
def test_a_day_of_adversarial_keys_on_any_number_of_threads(name: str) -> None:
    rng, count, width = np.random.default_rng(0), 86_400, 40
    weights = trained(rng, width)
    offsets = rng.choice([0.0, 500.0, -500.0, 40_000.0], (1, width))
    keys = (offsets + rng.normal(size=(count, width))).astype(np.float16)
    text = rng.normal(size=(3, 5)).astype(np.float32)
    assert keys.size > 3 * FEWEST  # so that three threads have work
    expected, scale = exact(weights, keys, text)
    one = kernel_of(name, weights, threads=1).logits(keys, text)
    assert (np.abs(one - expected) <= TOLERANCE * scale).all()
    for threads in (2, 3):
        assert (np.abs(kernel_of(name, weights, threads=threads).logits(keys, text) - expected) <= TOLERANCE * scale).all()
    single = np.concatenate([kernel_of(name, weights).logits(keys, row[None]) for row in text])
    assert (np.abs(single - one) <= TOLERANCE * scale).all()


@pytest.mark.parametrize("name", ["numpy", FUSED])
@pytest.mark.parametrize("weights", [trained(np.random.default_rng(0), 7), Cosine(2, 3, 10.0)], ids=["trained", "cosine"])
def test_a_sentence_that_is_not_finite_gives_no_number(name: str, weights: Weights) -> None:
    text = np.ones((2, 5 if isinstance(weights, Trained) else 3), np.float32)
    text[0, 1] = np.nan
    logits = kernel_of(name, weights).logits(np.ones((4, 7), np.float16), text)
    assert np.isnan(logits[0]).all() and np.isfinite(logits[1]).all()


def test_every_float16_is_widened_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    out = np.empty(finite.shape, np.float32)
    widen(finite, out)
    np.testing.assert_array_equal(out, finite.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(out), np.signbit(finite))


def test_the_graph_is_fed_what_engines_take() -> None:
    graph = Scorer(trained(np.random.default_rng(0), 6))
    GraphKernel(graph, chunk=100).logits(np.ones((250, 6), np.float16), np.ones((MOST_QUERIES + 3, 5), np.float32))  # type: ignore[arg-type]
    assert graph.calls == [(8, 100), (3, 100), (8, 100), (3, 100), (8, 50), (3, 50)]


def test_threads_share_the_rows_and_few_rows_stay_in_one() -> None:
    def ranges(rows: int, threads: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        in_threads(lambda first, last: found.append((first, last)), rows=rows, width=FEWEST, threads=threads)
        return sorted(found)

    assert ranges(10, 3) == [(0, 3), (3, 6), (6, 10)] and ranges(1, 4) == [(0, 1)]
    with pytest.raises(ZeroDivisionError):  # what fails in a thread is not lost
        in_threads(lambda first, last: print(1 // 0), rows=4, width=FEWEST, threads=2)
