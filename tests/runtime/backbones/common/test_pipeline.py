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
from pictures import bright_detector  # noqa: E402

from wsra.runtime import prefetch  # noqa: E402
from wsra.runtime.backbones.common import pipeline as module  # noqa: E402
from wsra.runtime.backbones.common.pipeline import Pipeline  # noqa: E402
from wsra.runtime.backbones.detectors.load import load_detector  # noqa: E402
from wsra.runtime.backbones.encoders.encoder import Encoder  # noqa: E402
from wsra.runtime.backbones.encoders.onnx_backbone import OnnxBackbone  # noqa: E402
from wsra.runtime.extraction.batch import AHEAD  # noqa: E402
from wsra.runtime.extraction.gathering import gather  # noqa: E402
from wsra.runtime.prefetch import ahead  # noqa: E402
from wsra.runtime.video.frames import Frame  # noqa: E402

ROWS, CALLS, MEETINGS = 4, 12, 6  # snippets, of one frame each, per call


class Stages:
    """Stages that meet again and again, each in the midst of its work."""

    def __init__(self, count: int) -> None:
        self._meeting = threading.Barrier(count, timeout=120)

    def meets(self, work: Callable[..., Any], first: int) -> Callable[..., Any]:
        """The same work, in whose calls from number `first` on the stage waits for the others."""
        numbers = itertools.count(-first)

        def run(*arguments: Any) -> Any:
            if 0 <= next(numbers) < MEETINGS:
                self._meeting.wait()
            return work(*arguments)

        return run

    def shown(self, first: int, make: Callable[[int], Frame]) -> Generator[Frame, None, None]:
        """The frames of all calls."""
        decode = self.meets(lambda: None, first)
        for number in range(CALLS * ROWS):
            if number % ROWS == 0:
                decode()
            yield make(number)


def test_decoding_preparation_and_inference_work_at_the_same_time(tmp_path: Path) -> None:
    """As `extract_features` runs them; benchmarks/ measures it."""
    graph, stages = mean_colour(tmp_path / "e.onnx"), Stages(3)
    backbone = OnnxBackbone(Encoder(settings_of(graph), graph))
    encoder: Any = backbone.encoder
    encoder.per_call = ROWS
    encoder.prepare, encoder.embeddings = stages.meets(encoder.prepare, 2), stages.meets(encoder.embeddings, 0)
    made = stages.shown(4, lambda number: Frame(number + 0.5, np.full((16, 16, 3), number, np.uint8)))
    with closing(ahead(made, AHEAD)) as frames:
        rows = gather(backbone, frames, 1.0)
    assert rows.values[:, 0].tolist() == list(range(CALLS * ROWS))
    said = r"the encoder waited \d+ % of the time: (decoding|preparation|inference|gathering) is the bound"
    assert re.fullmatch(said, backbone.stages())


def test_a_detector_runs_while_what_it_found_before_is_tracked(tmp_path: Path) -> None:
    folder, stages = bright_detector(tmp_path), Stages(4)

    def shown(number: int) -> Frame:
        return Frame(number / 4, np.full((64, 64, 3), 100 + number, np.uint8))

    expected = load_detector(folder).objects(map(shown, range(CALLS * ROWS)), 1.0)
    backbone = load_detector(folder)
    detector: Any = backbone.detector
    detector.pictures.per_call = ROWS
    detector.find, detector.infer = stages.meets(detector.find, 0), stages.meets(detector.infer, 1)
    detector.prepare = stages.meets(detector.prepare, 3)
    with closing(ahead(stages.shown(5, shown), AHEAD)) as frames:
        found = backbone.objects(frames, 1.0)
    assert len(found.values) == CALLS * ROWS / 4
    np.testing.assert_array_equal(found.values, expected.values)
    said = r"the detector waited \d+ % of the time: (decoding|preparation|inference|tracking) is the bound"
    assert re.fullmatch(said, backbone.stages())


@pytest.mark.parametrize("overlaps", [True, False])
def test_inference_goes_on_while_the_caller_holds_a_result(overlaps: bool) -> None:
    started = [threading.Event() for _ in range(6)]

    def infer(call: int) -> int:
        started[call].set()
        return -call

    got = []
    with closing(Pipeline("tracking", overlaps=overlaps).run(iter(range(6)), handed, infer)) as results:  # type: ignore[arg-type]
        for result in results:
            got.append(result)
            for event in started[len(got) :][:1]:
                assert event.wait(60) if overlaps else not event.is_set()
    assert got == [0, -1, -2, -3, -4, -5]


@pytest.mark.parametrize(
    ("decode_s", "prepare_s", "infer_s", "track_s", "waited", "bound"),
    [
        (3, 1, 1, 0, 80, "decoding"),
        (1, 3, 1, 0, 80, "preparation"),
        (1, 1, 18, 0, 10, "inference"),
        (2, 1, 7, 0, 30, "decoding"),
        (1, 1, 5, 3, 50, "tracking"),
        (2, 1, 5, 2, 50, "decoding"),
        (0, 1, 18, 1, 10, "inference"),
    ],
)
def test_the_slowest_stage_is_named(
    monkeypatch: pytest.MonkeyPatch, decode_s: float, prepare_s: float, infer_s: float, track_s: float, waited: int, bound: str
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

    pipeline = Pipeline("tracking", overlaps=False)
    for _ in pipeline.run(shown(), prepare, lambda _: work(infer_s)):  # type: ignore[arg-type]
        work(track_s)
    assert pipeline.in_words("encoder") == f"the encoder waited {waited} % of the time: {bound} is the bound"
    assert pipeline.waited == pytest.approx(waited / 100)


def handed(frames: Iterator[int], put: Callable[[int], None]) -> None:
    for frame in frames:
        put(frame)


def same(call: int) -> int:
    return call


def test_who_stops_early_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with closing(Pipeline("tracking").run(iter(range(100)), handed, same)) as results:  # type: ignore[arg-type]
        assert next(results) == 0
    with (
        pytest.raises(KeyboardInterrupt),
        closing(Pipeline("tracking").run(iter(range(100)), handed, same)) as results,  # type: ignore[arg-type]
    ):
        for _ in results:
            raise KeyboardInterrupt
    assert not set(threading.enumerate()) - before


def test_an_error_of_a_stage_comes_after_the_results_before_it() -> None:
    before = set(threading.enumerate())

    def unprepared(frames: Iterator[int], put: Callable[[int], None]) -> None:
        put(next(frames))
        put(next(frames))
        raise ValueError("the third")

    def broken(call: int) -> int:
        if call == 2:
            raise ValueError("the third")
        return call

    for prepare, infer in ((unprepared, same), (handed, broken)):
        got = []
        with pytest.raises(ValueError, match="the third"):
            for result in Pipeline("tracking").run(iter(range(100)), prepare, infer):  # type: ignore[arg-type]
                got.append(result)
        assert got == [0, 1]
    assert not set(threading.enumerate()) - before


def test_a_pipeline_that_has_not_run_has_not_waited() -> None:
    assert Pipeline("tracking").in_words("encoder") == "the encoder waited 0 % of the time: inference is the bound"
