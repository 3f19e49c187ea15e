"""A video, its preparation, an encoder or a detector, and a tracker, of adjustable latency: sleeps that release the GIL, as GPUs do."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from encoders import mean_colour, settings_of
from pictures import bright_detector

from wsra.runtime.backbones.common.pipeline import Staged
from wsra.runtime.backbones.common.protocol import Backbone
from wsra.runtime.backbones.detectors.load import load_detector
from wsra.runtime.backbones.encoders.encoder import Encoder
from wsra.runtime.backbones.encoders.onnx_backbone import OnnxBackbone
from wsra.runtime.backends.settings import GraphSettings
from wsra.runtime.extraction.batch import AHEAD
from wsra.runtime.extraction.gathering import Gathered, gather
from wsra.runtime.prefetch import ahead
from wsra.runtime.video.frames import Frame

ROWS = 4  # frames per call


@dataclass
class Paced:
    """What one run took.

    Attributes:
        busy_s: seconds in which each stage worked: "decode", "prepare", "infer" and, of a detector, "track".
        total_s: seconds of the whole.
        said: what the backbone says of it.
    """

    busy_s: dict[str, float]
    total_s: float
    said: str

    @property
    def efficiency(self) -> float:
        """Throughput as a share of that of the slowest stage alone."""
        return max(self.busy_s.values()) / self.total_s


class _Stages:
    """Latencies of the stages per call in seconds, and how long each worked."""

    def __init__(self, latencies_s: dict[str, float]) -> None:
        self._latencies_s = latencies_s
        self._busy_s = dict.fromkeys(latencies_s, 0.0)

    def slowed(self, stage: str, work: Callable[..., Any], *, calls: int = 1) -> Callable[..., Any]:
        """The same work with its share of the stage's latency, where it is called so many times for one call of the graph."""

        def run(*arguments: Any) -> Any:
            start = time.perf_counter()
            time.sleep(self._latencies_s[stage] / calls)
            result = work(*arguments)
            self._busy_s[stage] += time.perf_counter() - start
            return result

        return run

    def run(self, backbone: Backbone, make: Callable[[int], Frame], calls: int) -> tuple[Gathered, Paced]:
        """Run them as `extract_features` does."""
        assert isinstance(backbone, Staged)

        def shown() -> Generator[Frame, None, None]:
            decode = self.slowed("decode", make, calls=ROWS)
            for number in range(calls * ROWS):
                yield decode(number)

        start = time.perf_counter()
        with closing(ahead(shown(), AHEAD)) as frames:
            rows = gather(backbone, frames, 1.0)
        return rows, Paced(self._busy_s, time.perf_counter() - start, backbone.stages())


def run_encoder(folder: Path, *, decode_s: float, prepare_s: float, infer_s: float, calls: int) -> Paced:
    """Run an encoder.

    Args:
        folder: where the graph is written.
        decode_s: latency of the frames of one call in seconds.
        prepare_s: latency of the preparation of a call in seconds.
        infer_s: latency of a call of the encoder in seconds.
        calls: number of calls.
    """
    graph = mean_colour(folder / "e.onnx")
    backbone = OnnxBackbone(Encoder(settings_of(graph), graph, GraphSettings(threads=1)))
    encoder: Any = backbone.encoder
    encoder.per_call = ROWS
    stages = _Stages({"decode": decode_s, "prepare": prepare_s, "infer": infer_s})
    encoder.prepare, encoder.embeddings = stages.slowed("prepare", encoder.prepare), stages.slowed("infer", encoder.embeddings)
    rows, done = stages.run(backbone, lambda number: Frame(number + 0.5, np.full((16, 16, 3), number % 256, np.uint8)), calls)
    assert rows.values[:, 0].tolist() == [number % 256 for number in range(calls * ROWS)]
    return done


def run_detector(folder: Path, *, decode_s: float, prepare_s: float, infer_s: float, track_s: float, calls: int) -> Paced:
    """Run a detector and its tracker.

    Args:
        folder: where the graph is written.
        decode_s: see `run_encoder`.
        prepare_s: see `run_encoder`.
        infer_s: see `run_encoder`.
        track_s: latency of what follows a call in seconds: that of reading its boxes, and the real tracker comes on top.
        calls: number of calls.
    """
    backbone = load_detector(bright_detector(folder), GraphSettings(threads=1))
    detector: Any = backbone.detector
    detector.pictures.per_call = ROWS
    stages = _Stages({"decode": decode_s, "prepare": prepare_s, "infer": infer_s, "track": track_s})
    detector.prepare, detector.infer = stages.slowed("prepare", detector.prepare), stages.slowed("infer", detector.infer)
    detector.find = stages.slowed("track", detector.find)
    rows, done = stages.run(backbone, lambda number: Frame(number / 4, np.full((64, 64, 3), 100 + number % 2, np.uint8)), calls)
    assert rows.tracks is not None
    np.testing.assert_allclose(rows.tracks.lives_s, [[0.0, calls * ROWS / 4]])
    return done
