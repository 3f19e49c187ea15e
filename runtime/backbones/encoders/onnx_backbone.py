"""Features from any encoder for images or clips; frames of several snippets share a call, so little is held in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.common.picture_graph import Row
from wsra.runtime.backbones.common.pipeline import Pipeline
from wsra.runtime.backbones.common.pixels import resized
from wsra.runtime.backbones.common.protocol import BACKBONE
from wsra.runtime.backbones.encoders.encoder import FOLLOWS, Encoder
from wsra.runtime.backbones.encoders.encoder_settings import EncoderSettings
from wsra.runtime.backbones.encoders.regions import SLOTS, Regions, Sample, read_at, samples
from wsra.runtime.video.frames import Frame, Reading


@dataclass(frozen=True)
class _Recipe:
    """The rows of a snippet: (frames, or 1 for a clip encoder; slots), counted from its first row."""

    number: int
    rows: NDArray[np.int64]

    @property
    def count(self) -> int:
        return int(self.rows.max()) + 1


@dataclass(frozen=True)
class _Call:
    """A prepared call: its input, its rows without filling, and the snippets that came since the call before."""

    pixels: NDArray[Any]
    count: int
    recipes: list[_Recipe]


class OnnxBackbone:
    """An ONNX encoder as a backbone; see `wsra.runtime.backbones.registry.Backbone`.

    Args (constructor):
        encoder: an encoder for images or clips.
        regions: the parts of a frame to encode.
    """

    def __init__(self, encoder: Encoder, regions: Regions = "whole") -> None:
        self.encoder = encoder
        self.settings = encoder.settings
        self.regions = regions
        self.overlaps = True
        self._pipeline = Pipeline(FOLLOWS)

    @property
    def width(self) -> int:
        """Numbers per snippet: one embedding for each slot of the regions."""
        return self.settings.width * SLOTS[self.regions]

    @property
    def device(self) -> str:
        """Where it runs: "cpu" or the name of the GPU."""
        return self.encoder.device

    def stages(self) -> str:
        """See `Staged`."""
        return self._pipeline.in_words("encoder")

    def id(self, snippet_s: float) -> str:
        """Name, digest of graph and settings, length of a snippet, and regions."""
        return encoder_id(self.settings, self.regions, snippet_s)

    def reads_at(self, snippet_s: float) -> Reading:
        """Frames with twice the rows of the input."""
        count = self.settings.frames_per_snippet
        return Reading(*read_at(self.regions, count=count, snippet_s=snippet_s, input_height_px=self.settings.size[0]))

    def features(self, frames: Iterator[Frame], snippet_s: float) -> Generator[tuple[int, NDArray[np.float32]], None, None]:
        """Encode snippets.

        Args:
            frames: in presentation order.
            snippet_s: length of a snippet in seconds.

        Yields:
            (k, (width,) float32) for snippet [k * snippet_s, (k + 1) * snippet_s); snippets without a frame are left out.

        Raises:
            BackboneError: the output does not match the settings, or is not finite.
        """
        recipes: deque[_Recipe] = deque()
        done: list[NDArray[np.float32]] = []

        def prepare(shown: Iterator[Frame], put: Callable[[_Call], None]) -> None:
            for call in self._calls(shown, snippet_s):
                put(call)

        def infer(call: _Call) -> tuple[list[_Recipe], list[NDArray[np.float32]]]:
            return call.recipes, self.encoder.embeddings(call.pixels, call.count)

        self._pipeline = Pipeline(FOLLOWS, overlaps=self.overlaps)
        with closing(self._pipeline.run(frames, prepare, infer)) as results:
            for more, embedded in results:
                recipes += more
                done += embedded
                while recipes and recipes[0].count <= len(done):
                    recipe = recipes.popleft()
                    embeddings = np.stack(done[: recipe.count])
                    del done[: recipe.count]
                    yield recipe.number, embeddings[recipe.rows].mean(axis=0, dtype=np.float32).reshape(-1)

    def _calls(self, frames: Iterator[Frame], snippet_s: float) -> Iterator[_Call]:
        """Full calls, and a last one with the rest; they need nothing of what the encoder returns."""
        height, width = self.settings.size
        chosen = samples(frames, self.regions, count=self.settings.frames_per_snippet, snippet_s=snippet_s, aspect=width / height)
        full = self.encoder.per_call
        recipes: list[_Recipe] = []
        waiting: list[Row] = []
        for sample in chosen:
            rows, places = self._rows(sample)
            recipes.append(_Recipe(sample.number, places))
            waiting += rows
            while len(waiting) >= full:
                yield _Call(self.encoder.prepare(waiting[:full]), full, recipes)
                waiting, recipes = waiting[full:], []
        if waiting:
            yield _Call(self.encoder.prepare(waiting), len(waiting), recipes)

    def _rows(self, sample: Sample) -> tuple[list[Row], NDArray[np.int64]]:
        """The rows of a snippet, and the row of each slot; an empty slot uses the row of the whole frame."""
        slots = SLOTS[self.regions]
        if self.settings.frames > 1:  # all frames of a clip are cropped alike, to the regions of its middle frame
            boxes = sample.boxes[len(sample.boxes) // 2]
            clips = [[self._cut(image, box) for image in sample.images] for box in boxes]
            return clips, _places([len(boxes)], slots)
        rows = [[self._cut(image, box)] for image, boxes in zip(sample.images, sample.boxes, strict=True) for box in boxes]
        return rows, _places([len(boxes) for boxes in sample.boxes], slots)

    def _cut(self, image: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        left, top, right, bottom = box
        return resized(image[top:bottom, left:right], self.settings)


def encoder_id(settings: EncoderSettings, regions: Regions, snippet_s: float) -> str:
    """Id of an encoder's features, unique for graph, settings, regions and snippet length.

    With tracks it begins with the name of the backbone that tracks.
    """
    tracker, suffix = f"{BACKBONE}+" if regions == "tracks" else "", "" if regions == "whole" else f"+{regions}"
    return f"{tracker}{settings.name}-{settings.digest()}@{snippet_s:g}s{suffix}"


def _places(counts: Sequence[int], slots: int) -> NDArray[np.int64]:
    """(frames, slots) row of each slot; a frame has `counts` rows, and the first one is the whole frame."""
    starts = np.cumsum([0, *counts[:-1]])
    return np.array([[start + (slot if slot < count else 0) for slot in range(slots)] for start, count in zip(starts, counts, strict=True)])
