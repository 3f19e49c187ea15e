"""Which route is taken for one answer and for many, from two figures of each."""

from __future__ import annotations

from math import inf

from wsra.runtime.backends.ranking import Times, fastest
from wsra.runtime.backends.routes import Route

CPU, HALF, GPU = Route("fp32", "cpu"), Route("fp16", "cpu"), Route("fp16", "engine")
ROUTES = [CPU, HALF, GPU]


def test_one_answer_goes_by_the_first_and_many_by_the_steady_time() -> None:
    times = {CPU: Times(300.0, 10.0), GPU: Times(2000.0, 2.0)}
    assert fastest(ROUTES, times, 1) == CPU
    assert fastest(ROUTES, times, 1000) == GPU and fastest(ROUTES, times, inf) == GPU
    assert (times[GPU].total_ms(1), times[GPU].total_ms(11), times[GPU].total_ms(inf)) == (2000.0, 2020.0, 2.0)


def test_a_gpu_that_does_not_win_is_not_taken() -> None:
    same = {HALF: Times(300.0, 5.0), Route("fp32", "cuda"): Times(300.0, 4.9)}  # more precise, but within the noise of the CPU
    routes = [CPU, Route("fp32", "cuda"), HALF]
    assert fastest(routes, same, inf) == HALF
    assert fastest(routes, {**same, Route("fp32", "cuda"): Times(300.0, 4.5)}, inf) == Route("fp32", "cuda")
    assert fastest([GPU], {GPU: Times(None, 9.0)}, 1) == GPU  # where only a GPU was measured, it is taken


def test_the_more_precise_one_within_the_noise() -> None:
    assert fastest(ROUTES, {CPU: Times(None, 10.4), HALF: Times(None, 10.0)}, 5) == CPU
    assert fastest(ROUTES, {CPU: Times(None, 10.6), HALF: Times(None, 10.0)}, 5) == HALF
    assert fastest(ROUTES, {}, 1) is None
