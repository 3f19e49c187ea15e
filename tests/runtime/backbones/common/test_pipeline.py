"""Decoding, preparation and inference at once: that they are, what is said of the slowest of them, and how it ends."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

for library in ("cv2", "onnx", "onnxruntime", "scipy"):
    pytest.importorskip(library)

import numpy as np  # noqa: E402
from encoders import mean_colour, settings_of  # noqa: E402

from wsra.runtime import prefetch  # noqa: E402
from wsra.runtime.backbones.common import pipeline as module  # noqa: E402
from wsra.runtime.backbones.common.pipeline import Pipeline  # noqa: E402
from wsra.runtime.backbones.encoders.onnx_backbone import OnnxBackbone  # noqa: E402
from wsra.runtime.extraction.batch import AHEAD  # noqa: E402
from wsra.runtime.extraction.gathering import gather  # noqa: E402
from wsra.runtime.prefetch import ahead  # noqa: E402
from wsra.runtime.video.frames import Frame  # noqa: E402

ROWS, CALLS, MEETINGS = 4, 12, 6  # snippets, of one frame each, per call


def test_decoding_preparation_and_inference_work_at_the_same_time(tmp_path: Path) -> None:
    """As `extract_features` runs them: the three meet again and again, each in the midst of its work; benchmarks/ measures it."""
    graph = mean_colour(tmp_path / "e.onnx")
    backbone = OnnxBackbone(settings_of(graph), graph, threads=1)
    encoder: Any = backbone._encoder
    encoder.per_call = ROWS
    meeting = threading.Barrier(3, timeout=120)

    def met(work: Callable[..., Any], first: int) -> Callable[..., Any]:
        numbers = itertools.count(-first)

        def run(*arguments: Any) -> Any:
            if 0 <= next(numbers) < MEETINGS:
                meeting.wait()
            return work(*arguments)

        return run

    decode = met(lambda: None, 4)

    def shown() -> Generator[Frame, None, None]:
        for number in range(CALLS * ROWS):
            if number % ROWS == 0:
                decode()
            yield Frame(number + 0.5, np.full((16, 16, 3), number, np.uint8))

    encoder.prepare, encoder.embeddings = met(encoder.prepare, 2), met(encoder.embeddings, 0)
    with closing(ahead(shown(), AHEAD)) as frames:
        rows = gather(backbone, frames, 1.0)
    assert rows.values[:, 0].tolist() == list(range(CALLS * ROWS))
    assert re.fullmatch(r"the encoder waited \d+ % of the time: (decoding|preparation|inference) is the bound", backbone.stages())


@pytest.mark.parametrize(
    ("decode_s", "prepare_s", "infer_s", "waited", "bound"),
    [(3, 1, 1, 80, "decoding"), (1, 3, 1, 80, "preparation"), (1, 1, 18, 10, "inference"), (2, 1, 7, 30, "decoding")],
)
def test_the_slowest_stage_is_named(
    monkeypatch: pytest.MonkeyPatch, decode_s: float, prepare_s: float, infer_s: float, waited: int, bound: str
) -> None:
    """By a clock of the test, while the stages take turns."""
    now_s = 0.0
    for place in (prefetch, module):
        monkeypatch.setattr(place, "perf_counter", lambda: now_s)

    def work(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def shown() -> Iterator[int]:
        for number in range(10):
            work(decode_s)
            yield number

    def prepare(frames: Iterator[int], put: Callable[[int], None]) -> None:
        for frame in frames:
            work(prepare_s)
            put(frame)

    pipeline = Pipeline(overlaps=False)
    for _ in pipeline.run(shown(), prepare):  # type: ignore[arg-type]
        work(infer_s)
    assert pipeline.in_words("encoder") == f"the encoder waited {waited} % of the time: {bound} is the bound"
    assert pipeline.waited == pytest.approx(waited / 100)


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


def test_a_pipeline_that_has_not_run_has_not_waited() -> None:
    assert Pipeline().in_words("encoder") == "the encoder waited 0 % of the time: inference is the bound"
