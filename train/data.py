"""Captions and features as tensors: what training reads, and nothing else (no times of events)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsra.runtime.annotations import Caption, read_captions
from wsra.runtime.errors import DataError
from wsra.runtime.features import read_features
from wsra.runtime.names import feat_of
from wsra.train.stored import SeenAs, StoredFeatures

_PIECE = 4096  # snippets summed at a time in float64


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

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        tensors = (self.values, self.mask, self.text, self.videos, self.numbers)
        return Batch(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class CaptionedVideos:
    """Captions with the features of their videos.

    Attributes:
        captions: the sentences.
        values: per video (T, Dv) float32; in memory, or read from disk when an item is asked for.
        video_of: (number of captions,) index into `values`.
        backbone: what made the features.
        snippet_s: median length of a snippet in seconds.
    """

    captions: Sequence[Caption]
    values: Sequence[Tensor]
    video_of: Tensor
    backbone: str
    snippet_s: float

    def steps(self, size: int) -> int:
        """How many batches of `size` pairs an epoch has."""
        return max(1, len(self.captions) // size)

    def batches(self, text: Tensor, order: Tensor, size: int, *, skip: int = 0) -> Generator[Batch, None, None]:
        """Batches in the given order of captions; a last one that is smaller than `size` is left out unless it is the only one.

        Args:
            text: (captions, Dt).
            order: permutation of caption numbers.
            size: pairs per batch.
            skip: batches left out at the start.

        Raises:
            FeatureError: a file of features cannot be used.
        """
        for step in range(skip, self.steps(size)):
            chosen = order[step * size : (step + 1) * size]
            videos = self.video_of[chosen]
            rows = [self.values[int(v)] for v in videos]
            lengths = torch.tensor([len(row) for row in rows])
            # NumPy copies in this thread alone; torch would start threads of its own beside those of the step.
            values = np.zeros((len(rows), int(lengths.max()), rows[0].shape[1]), np.float32)
            for place, row in zip(values, rows, strict=True):
                place[: len(row)] = row.numpy()
            mask = torch.arange(values.shape[1])[None, :] < lengths[:, None]
            yield Batch(torch.from_numpy(values), mask, text[chosen], videos, chosen)


def load(captions_path: Path, folder: Path, *, seen_as: SeenAs, longest: int = 0, cache_mb: int = 0) -> CaptionedVideos:
    """Read captions, and what the features of their videos are; the features stay on disk until they are used.

    Args:
        captions_path: JSON lines.
        folder: of .feat files named by `vid`.
        seen_as: "snippets", "windows" (47 pooled windows per video) or "segments" (those of DiDeMo's 21 that start before it ends).
        longest: a video of more snippets is seen as so many equal runs of them, averaged; 0 for no limit.
        cache_mb: features that may stay in memory.

    Raises:
        DataError: captions cannot be used, a video has no features, or widths or backbones differ.
        FeatureError: a .feat file cannot be used.
    """
    captions = read_captions(captions_path)
    names = list(dict.fromkeys(caption.vid for caption in captions))
    paths = [feat_of(folder, name, error=DataError, source=captions_path) for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{captions_path}: {len(missing)} of {len(names)} videos have no features in {folder}"
            f" (the first: {missing[0]}); run wsra extract"
        )
    lengths_s = []
    backbones: dict[tuple[str, int], str] = {}
    for name, path in zip(names, paths, strict=True):
        features = read_features(path)
        backbones.setdefault((features.backbone, features.width), name)
        if len(backbones) > 1:
            (one, a), (two, b) = backbones.items()
            raise DataError(f"{folder}: {a} was made by {one[0]} ({one[1]} wide), {b} by {two[0]} ({two[1]} wide); extract all alike")
        lengths_s.append(float(np.median(features.times_s[:, 1] - features.times_s[:, 0])))
    number = {name: i for i, name in enumerate(names)}
    video_of = torch.tensor([number[caption.vid] for caption in captions])
    values = StoredFeatures(paths, seen_as=seen_as, longest=longest, cache_mb=cache_mb)
    return CaptionedVideos(captions, values, video_of, next(iter(backbones))[0], float(np.median(lengths_s)))


def moments_of_features(data: CaptionedVideos, progress: Callable[[int, int], None] | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (Dv) of the features over all snippets, one video in memory at a time.

    Sums of squares about the mean are merged piece by piece in float64 (Chan, Golub and LeVeque 1979), so a large offset costs
    no precision.

    Args:
        data: captioned videos.
        progress: called with videos read and their number.

    Raises:
        FeatureError: a file of features cannot be used.
    """
    count, mean, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for done, values in enumerate(data.values, 1):
        for start in range(0, len(values), _PIECE):
            rows = values[start : start + _PIECE].double()
            own = rows.mean(dim=0)
            total, apart = count + len(rows), own - mean
            squares = squares + (rows - own).square().sum(dim=0) + apart.square() * (count * len(rows) / total)
            mean = mean + apart * (len(rows) / total)
            count = total
        if progress is not None:
            progress(done, len(data.values))
    return mean.float(), (squares / count).sqrt().float()
