"""Planted features: simulated snippets for real sentences and spans, so that the right answers are known.

The look of a sentence is a fixed, seeded, nonlinear map of its vector. It fades in and out within the sentence's spans, over a scene
that differs per video, slow drift, noise per snippet and weaker traces of sentences that are not about the video.

Shapes: S sentences, T snippets of 1 s, Dt width of text vectors, D feature width.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splits import Splits, with_wrong_captions
from wsra.runtime.files.writing import refuse_existing, replacing_folder
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.features import Features, write_features

Array = NDArray[np.float32]
Windows = Sequence[tuple[float, float]]
WIDTH = 128  # D
_HIDDEN, _GAIN = 512, 2.0  # of the map: number of tanh units, and how far beyond their linear range they are driven


@dataclass(frozen=True)
class Difficulty:
    """The difficulty of a planted set, as standard deviations per number of a feature; a sentence's own look has about 1.

    Attributes:
        signal: amplitude of a sentence within its span.
        traces_per_minute: how many unrelated sentences leave a trace, on average.
        scene: of the vector that all snippets of a video share.
        drift: of a slow random walk around it (first-order autoregressive, 0.9 per snippet).
        noise: of each snippet, independently.
        trace: amplitude of these traces, as a share of `signal`.
        seed: random seed of the map and of every video.
    """

    signal: float
    traces_per_minute: float
    scene: float = 1.0
    drift: float = 0.8
    noise: float = 0.3
    trace: float = 0.8
    seed: int = 2020


DIFFICULTIES = {
    "charades-easy": Difficulty(signal=0.8, traces_per_minute=20.0),
    "charades-middle": Difficulty(signal=0.34, traces_per_minute=60.0),
    "charades-hard": Difficulty(signal=0.12, traces_per_minute=60.0),
    "uca": Difficulty(signal=0.34, traces_per_minute=60.0),
}  # chosen with the skyline on validation videos before any weakly supervised run, then frozen (docs/measurements/learning.md)

# Not among the frozen sets: like charades-middle, but in longer videos, in which a mean over the video dilutes the look of a sentence.
LONGER = {"charades-long": 3.0}  # times the length


def looks(text: Array, centre: Array, seed: int) -> Array:
    """The looks of sentences: a random network of one tanh layer on the centred, normalised vectors.

    What all sentences share is removed first; if it were visible, one could find an event without reading the sentence.

    Args:
        text: (S, Dt) sentence vectors.
        centre: (Dt,) mean vector of the training sentences.
        seed: random seed of the map.

    Returns:
        (S, D), each number with a standard deviation of about 1 over sentences.
    """
    rng = np.random.default_rng(seed)
    inward = rng.standard_normal((text.shape[1], _HIDDEN))
    outward = rng.standard_normal((_HIDDEN, WIDTH))
    away = text.astype(np.float64) - centre.astype(np.float64)
    unit = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    hidden = np.tanh(_GAIN * unit @ inward)
    spread = np.sqrt(np.mean(np.tanh(_GAIN * np.random.default_rng(seed).standard_normal(4096)) ** 2))
    look: Array = (hidden @ outward / (spread * np.sqrt(_HIDDEN))).astype(np.float32)
    return look


def coverage(windows_s: Windows, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each snippet that lies inside any of the spans, (T,) in [0, 1]."""
    inside = np.zeros(len(times_s))
    for start_s, end_s in windows_s:
        covered = np.minimum(times_s[:, 1], end_s) - np.maximum(times_s[:, 0], start_s)
        inside = np.maximum(inside, np.maximum(covered, 0) / (times_s[:, 1] - times_s[:, 0]))
    return inside


@lru_cache(maxsize=512)
def _mixing(count: int, memory: float) -> NDArray[np.float64]:
    """The matrix (count, count) that turns white noise into first-order autoregressive noise of unit deviation."""
    steps = np.arange(count)
    weights = np.tril(memory ** np.abs(steps[:, None] - steps[None, :])) * np.sqrt(1 - memory**2)
    weights[:, 0] = np.power(memory, steps)
    return np.asarray(weights)


def _wander(rng: np.random.Generator, count: int, width: int, memory: float) -> NDArray[np.float64]:
    """First-order autoregressive noise of unit deviation, (count, width)."""
    return np.asarray(_mixing(count, memory) @ rng.standard_normal((count, width)))


def _envelope(rng: np.random.Generator, count: int, events: int) -> NDArray[np.float64]:
    """Visibility of events in each snippet, (count, events) in (0, 1) around 0.7."""
    return 1 / (1 + np.exp(-(1 + _wander(rng, count, events, 0.7))))


@dataclass(frozen=True)
class Planter:
    """Makes the features of videos, each from its own seed: no video depends on the others.

    Attributes:
        difficulty: the difficulty.
        look: sentence -> (D,) from `looks`.
        pool: sentences that may leave traces.
        lengths_s: lengths of real spans, from which those of traces are drawn.
    """

    difficulty: Difficulty
    look: Mapping[str, Array]
    pool: Sequence[str]
    lengths_s: Sequence[float]

    def features(self, annotations: Sequence[Annotation]) -> Features:
        """Features of one video.

        Args:
            annotations: at least one, all of one video.

        Returns:
            (T, D) float16 in snippets of 1 s; the last one may be shorter.
        """
        hard, video = self.difficulty, annotations[0]
        rng = np.random.default_rng([hard.seed, zlib.crc32(video.vid.encode())])
        count = max(1, int(np.ceil(video.duration_s - 1e-6)))
        times_s = np.stack([np.arange(count), np.minimum(np.arange(1, count + 1), video.duration_s)], axis=1).astype(np.float64)
        values = hard.scene * rng.standard_normal(WIDTH) + hard.drift * _wander(rng, count, WIDTH, 0.9)
        values += hard.noise * rng.standard_normal((count, WIDTH))
        shown: list[tuple[str, Windows, float]] = [(a.query, a.windows_s, hard.signal) for a in annotations]
        shown += self._traces(rng, {annotation.query for annotation in annotations}, video.duration_s)
        visible = np.stack([amplitude * coverage(windows_s, times_s) for _, windows_s, amplitude in shown], axis=1)  # (T, shown)
        values += (visible * _envelope(rng, count, len(shown))) @ np.stack([self.look[sentence] for sentence, _, _ in shown])
        return Features(values.astype(np.float16), times_s, video.vid, video.duration_s, self.backbone)

    def _traces(self, rng: np.random.Generator, own: set[str], duration_s: float) -> list[tuple[str, Windows, float]]:
        """Sentences that are not about the video but leave a trace in it, with time and strength of the trace."""
        traces: list[tuple[str, Windows, float]] = []
        for _ in range(rng.poisson(self.difficulty.traces_per_minute * duration_s / 60)):
            sentence = self.pool[int(rng.integers(len(self.pool)))]
            length_s = min(self.lengths_s[int(rng.integers(len(self.lengths_s)))], duration_s)
            start_s = float(rng.uniform(0, duration_s - length_s))
            if sentence not in own:
                traces.append((sentence, ((start_s, start_s + length_s),), self.difficulty.signal * self.difficulty.trace))
        return traces

    @property
    def backbone(self) -> str:
        """Name of the planted features in .feat files."""
        return f"planted {self.difficulty}"


def planted_videos(splits: Splits, text: Array, difficulty: Difficulty) -> Iterator[Features]:
    """Features of every video of the three splits; traces come from sentences of the same split.

    Args:
        splits: annotations.
        text: (S, Dt) vectors of the sentences of train, val and test, in this order.
        difficulty: how hard.
    """
    sets = (splits.train, splits.val, splits.test)
    sentences = [annotation.query for split in sets for annotation in split]
    look = dict(zip(sentences, looks(text, text[: len(splits.train)].mean(axis=0), difficulty.seed), strict=True))
    for split in sets:
        lengths_s = [end_s - start_s for annotation in split for start_s, end_s in annotation.windows_s]
        planter = Planter(difficulty, look, sorted({annotation.query for annotation in split}), lengths_s)
        videos: dict[str, list[Annotation]] = {}
        for annotation in split:
            videos.setdefault(annotation.vid, []).append(annotation)
        yield from (planter.features(annotations) for annotations in videos.values())


def write_planted(folder: Path, splits: Splits, text: Array, difficulty: Difficulty, *, wrong: Sequence[float] = ()) -> None:
    """Write a planted set for `wsra train`, `wsra export` and `wsra evaluate`.

    Args:
        folder: gets features/VIDEO.feat and captions-train.jsonl, captions-val.jsonl, captions-test.jsonl.
        splits: annotations.
        text: (S, Dt), as in `planted_videos`.
        difficulty: how hard.
        wrong: for each share, write captions-train-wrongNN.jsonl, in which NN percent of the captions are assigned to wrong videos.

    Raises:
        OutputError: `folder` exists already, or cannot be written.
    """
    refuse_existing(folder, overwrite=False, folder=True)
    with replacing_folder(folder) as part:
        (part / "features").mkdir()
        for features in planted_videos(splits, text, difficulty):
            write_features(part / "features" / f"{features.video}.feat", features)
        files = {"train": splits.train, "val": splits.val, "test": splits.test}
        files |= {f"train-wrong{round(100 * share)}": with_wrong_captions(splits.train, share, seed=difficulty.seed) for share in wrong}
        for name, annotations in files.items():
            lines = [json.dumps(_row(annotation)) for annotation in annotations]
            (part / f"captions-{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(annotation: Annotation) -> dict[str, object]:
    return {
        "qid": annotation.qid,
        "query": annotation.query,
        "vid": annotation.vid,
        "duration": annotation.duration_s,
        "relevant_windows": annotation.windows_s,
    }
