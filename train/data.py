"""Captions and features as tensors: what training reads, and nothing else (no times of events)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsra.runtime.annotations import Caption, read_captions
from wsra.runtime.errors import DataError
from wsra.runtime.features import Features, read_features
from wsra.runtime.spans import pooled_means
from wsra.runtime.windows import Timeline, relative_windows


@dataclass(frozen=True)
class Batch:
    """Pairs of a video and a sentence.

    Attributes:
        values: (B, T, Dv) float32 features, padded with zeros.
        mask: (B, T) bool, True where there is a snippet.
        text: (B, Dt) text vectors.
        videos: (B,) number of each pair's video.
        numbers: (B,) number of each pair's caption.
    """

    values: Tensor
    mask: Tensor
    text: Tensor
    videos: Tensor
    numbers: Tensor


@dataclass(frozen=True)
class CaptionedVideos:
    """Captions with the features of their videos.

    Attributes:
        captions: the sentences.
        values: per video (T, Dv) float32.
        video_of: (number of captions,) index into `values`.
        backbone: what made the features.
        snippet_s: median length of a snippet in seconds.
    """

    captions: Sequence[Caption]
    values: Sequence[Tensor]
    video_of: Tensor
    backbone: str
    snippet_s: float

    def batches(self, text: Tensor, order: Tensor, size: int) -> Iterator[Batch]:
        """Batches in the given order of captions; a last one that is smaller than `size` is left out unless it is the only one.

        Args:
            text: (captions, Dt).
            order: permutation of caption numbers.
            size: pairs per batch.
        """
        stop = max(size, len(order) - size + 1)
        for start in range(0, min(stop, len(order)), size):
            chosen = order[start : start + size]
            videos = self.video_of[chosen]
            rows = [self.values[int(v)] for v in videos]
            values = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            lengths = torch.tensor([len(row) for row in rows])
            mask = torch.arange(values.shape[1])[None, :] < lengths[:, None]
            yield Batch(values, mask, text[chosen], videos, chosen)


def _as_windows(features: Features) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    positions = Timeline(features.times_s).positions(relative_windows(features.duration_s))
    positions = positions[positions[:, 1] > positions[:, 0]]
    return pooled_means(features.rows(0, len(features)), positions).astype(np.float32)


def load(captions_path: Path, folder: Path, *, seen_as: str) -> CaptionedVideos:
    """Read captions and the features of their videos.

    Args:
        captions_path: JSON lines.
        folder: of .feat files named by `vid`.
        seen_as: "snippets" or "windows" (47 pooled windows per video).

    Raises:
        DataError: captions cannot be used, a video has no features, or widths or backbones differ.
        FeatureError: a .feat file cannot be used.
    """
    captions = read_captions(captions_path)
    names = list(dict.fromkeys(caption.vid for caption in captions))
    missing = [name for name in names if not (folder / f"{name}.feat").is_file()]
    if missing:
        raise DataError(
            f"{captions_path}: {len(missing)} of {len(names)} videos have no features in {folder}"
            f" (the first: {missing[0]}.feat); run wsra extract"
        )
    values, lengths_s = [], []
    backbones: dict[tuple[str, int], str] = {}
    for name in names:
        features = read_features(folder / f"{name}.feat")
        backbones.setdefault((features.backbone, features.width), name)
        if len(backbones) > 1:
            (one, a), (two, b) = backbones.items()
            raise DataError(f"{folder}: {a} was made by {one[0]} ({one[1]} wide), {b} by {two[0]} ({two[1]} wide); extract all alike")
        rows = _as_windows(features) if seen_as == "windows" else features.rows(0, len(features))
        values.append(torch.from_numpy(np.array(rows)))
        lengths_s.append(float(np.median(features.times_s[:, 1] - features.times_s[:, 0])))
    number = {name: i for i, name in enumerate(names)}
    video_of = torch.tensor([number[caption.vid] for caption in captions])
    return CaptionedVideos(captions, values, video_of, next(iter(backbones))[0], float(np.median(lengths_s)))


def moments_of_features(data: CaptionedVideos) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (Dv) of the features over all snippets."""
    every = torch.cat(list(data.values)).double()
    return every.mean(dim=0).float(), every.std(dim=0, correction=0).float()
