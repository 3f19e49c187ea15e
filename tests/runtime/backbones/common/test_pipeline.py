"""Decoding, preparation and inference at once: throughput against the slowest of them, what is said of it, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

for library in ("cv2", "onnx", "onnxruntime", "scipy"):
    pytest.importorskip(library)

from paced import run_paced  # noqa: E402

from wsra.runtime.backbones.common.pipeline import Pipeline  # noqa: E402

NAMES = {"decode": "decoding", "prepare": "preparation", "infer": "inference"}
LEAST = 0.85  # of the throughput of the slowest stage


@pytest.mark.parametrize("latencies", [(0.03, 0.01, 0.01), (0.01, 0.03, 0.01), (0.01, 0.01, 0.03), (0.02,) * 3])
def test_the_slowest_stage_sets_the_speed_and_is_named(tmp_path: Path, latencies: tuple[float, float, float]) -> None:
    """The best of eight runs counts, because other processes disturb sleeps; the first that none disturbed ends them."""
    decode_s, prepare_s, infer_s = latencies
    done = None
    for _ in range(8):
        run = run_paced(tmp_path, decode_s=decode_s, prepare_s=prepare_s, infer_s=infer_s, calls=40)
        done = run if done is None or run.total_s < done.total_s else done
        if run.efficiency >= LEAST and max(run.busy_s.values()) < 1.2 * 40 * max(latencies):
            done = run
            break
    assert done is not None and done.efficiency >= LEAST
    assert sum(done.busy_s.values()) > 1.4 * done.total_s  # one after the other would take that long
    waited = int(done.said.removeprefix("the encoder waited ").split(" %")[0])
    assert waited / 100 == pytest.approx(1 - done.busy_s["infer"] / done.total_s, abs=0.1)
    slowest, second = sorted(done.busy_s, key=lambda stage: done.busy_s[stage], reverse=True)[:2]
    if done.busy_s[slowest] > 1.5 * done.busy_s[second]:
        assert done.said.endswith(f"{NAMES[slowest]} is the bound"), done
    else:
        assert len(set(latencies)) == 1 or max(done.busy_s.values()) > 1.2 * 40 * max(latencies), done  # equal stages, or a busy machine


def three(frames: Iterator[int], put: Callable[[int], None]) -> None:
    for frame in frames:
        put(frame)


def test_who_stops_early_or_fails_leaves_no_thread() -> None:
    before = threading.active_count()
    with closing(Pipeline().run(iter(range(100)), three)) as calls:  # type: ignore[arg-type]
        assert next(calls) == 0

    def broken(frames: Iterator[int], put: Callable[[int], None]) -> None:
        put(next(frames))
        raise ValueError("the second")

    got = []
    with pytest.raises(ValueError, match="the second"):
        for call in Pipeline().run(iter(range(100)), broken):  # type: ignore[arg-type]
            got.append(call)
    assert got == [0] and threading.active_count() == before


def test_waiting_is_a_share_of_the_time() -> None:
    pipeline = Pipeline()
    assert pipeline.in_words("encoder") == "the encoder waited 0 % of the time: inference is the bound"

    def slow(frames: Iterator[int], put: Callable[[int], None]) -> None:
        for frame in frames:
            time.sleep(0.02)
            put(frame)

    assert list(pipeline.run(iter(range(10)), slow)) == list(range(10))  # type: ignore[arg-type]
    assert 0.9 < pipeline.waited <= 1.0 and pipeline.bound == "preparation"
