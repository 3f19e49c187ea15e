"""A video, its preparation and an encoder of adjustable latency: sleeps that release the GIL, as decoders and GPUs do."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from encoders import mean_colour, settings_of

from wsra.runtime.backbones.encoders.onnx_backbone import OnnxBackbone
from wsra.runtime.extraction.batch import AHEAD
from wsra.runtime.extraction.gathering import gather
from wsra.runtime.prefetch import ahead
from wsra.runtime.video.frames import Frame

ROWS = 4  # snippets, of one frame each, per call


@dataclass
class Paced:
    """What one run took.

    Attributes:
        busy_s: seconds in which each stage worked: "decode", "prepare" and "infer".
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


def run_paced(folder: Path, *, decode_s: float, prepare_s: float, infer_s: float, calls: int) -> Paced:
    """Run the stages as `extract_features` does.

    Args:
        folder: where the graph is written.
        decode_s: latency of the frames of one call in seconds.
        prepare_s: latency of the preparation of a call in seconds.
        infer_s: latency of a call of the encoder in seconds.
        calls: number of calls.
    """
    graph = mean_colour(folder / "e.onnx")
    backbone = OnnxBackbone(settings_of(graph), graph, threads=1)
    encoder: Any = backbone._encoder
    encoder.per_call = ROWS
    busy_s = dict.fromkeys(("decode", "prepare", "infer"), 0.0)

    def slowed(stage: str, latency_s: float, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start = time.perf_counter()
            time.sleep(latency_s)
            result = work(*arguments)
            busy_s[stage] += time.perf_counter() - start
            return result

        return run

    def shown() -> Generator[Frame, None, None]:
        make = slowed("decode", decode_s / ROWS, lambda number: Frame(number + 0.5, np.full((16, 16, 3), number % 256, np.uint8)))
        for number in range(calls * ROWS):
            yield make(number)

    encoder.prepare = slowed("prepare", prepare_s, encoder.prepare)
    encoder.embeddings = slowed("infer", infer_s, encoder.embeddings)
    start = time.perf_counter()
    with closing(ahead(shown(), AHEAD)) as frames:
        rows = gather(backbone, frames, 1.0)
    total_s = time.perf_counter() - start
    assert rows.values[:, 0].tolist() == [number % 256 for number in range(calls * ROWS)]
    return Paced(busy_s, total_s, backbone.stages())
