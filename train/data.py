"""Captions and features as tensors. Training reads nothing else, and no times of events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsra.runtime.errors import DataError
from wsra.runtime.files.names import feat_of
from wsra.runtime.formats.annotations import Caption, read_captions
from wsra.runtime.formats.features import Features, read_features
from wsra.train.stored import SeenAs, StoredFeatures

_PIECE = 4096  # snippets summed at once in float64


@dataclass(frozen=True)
class Batch:
    """Pairs of a video and a sentence.

    Attributes:
        values: (B, T, Dv) float32 features, padded with zeros.
        mask: (B, T) bool, True for rows, False for padding.
        text: (B, Dt) text vectors.
        videos: (B,) index of each pair's video.
        numbers: (B,) index of each pair's caption.
    """

    values: Tensor
    mask: Tensor
    text: Tensor
    videos: Tensor
    numbers: Tensor

    def to(self, device: torch.device) -> Batch:
        """Copy the batch to a device."""
        tensors = (self.values, self.mask, self.text, self.videos, self.numbers)
        return Batch(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class CaptionedVideos:
    """Captions with the features of their videos.

    Attributes:
        captions: the sentences.
        values: per video (T, Dv) float32, in memory or read from disk on access.
        video_of: (captions,) index into `values`.
        backbone: the backbone that made the features.
        snippet_s: length of a snippet in seconds; the median if they differ.
        of_objects: whether each row describes an object in a snippet instead of the whole snippet.
    """

    captions: Sequence[Caption]
    values: Sequence[Tensor]
    video_of: Tensor
    backbone: str
    snippet_s: float
    of_objects: bool = False

    def steps(self, size: int) -> int:
        """Number of batches of `size` pairs per epoch."""
        return max(1, len(self.captions) // size)

    def batches(self, text: Tensor, order: Tensor, size: int, *, skip: int = 0) -> Generator[Batch, None, None]:
        """Yield batches in the given order of captions. A smaller last batch is dropped unless it is the only one.

        Args:
            text: (captions, Dt).
            order: permutation of caption indices.
            size: pairs per batch.
            skip: number of batches to skip at the start.

        Raises:
            FeatureError: a .feat file cannot be used.
        """
        for step in range(skip, self.steps(size)):
            chosen = order[step * size : (step + 1) * size]
            videos = self.video_of[chosen]
            rows = [self.values[int(v)] for v in videos]
            lengths = torch.tensor([len(row) for row in rows])
            # NumPy copies in this thread; torch would start threads that compete with those of the training step.
            values = np.zeros((len(rows), int(lengths.max()), rows[0].shape[1]), np.float32)
            for place, row in zip(values, rows, strict=True):
                place[: len(row)] = row.numpy()
            mask = torch.arange(values.shape[1])[None, :] < lengths[:, None]
            yield Batch(torch.from_numpy(values), mask, text[chosen], videos, chosen)


def load(captions_path: Path, folder: Path, *, seen_as: SeenAs, longest: int = 0, cache_mb: int = 0) -> CaptionedVideos:
    """Read captions and check the features of their videos; the features stay on disk until they are used.

    Args:
        captions_path: JSON lines.
        folder: folder of .feat files named by `vid`.
        seen_as: see `StoredFeatures`.
        longest: see `StoredFeatures`.
        cache_mb: see `StoredFeatures`.

    Raises:
        DataError: captions cannot be used; a video has no features; widths, backbones or kinds of rows differ; `seen_as` is "windows" or
            "segments" for rows of objects; or no video has a row.
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
    kinds: dict[tuple[str, int, bool], str] = {}
    lengths_s = []
    for name, path in zip(names, paths, strict=True):
        features = read_features(path)
        kinds.setdefault((features.backbone, features.width, features.tracks is not None), name)
        _check_alike(kinds, folder)
        if len(features):
            lengths_s.append(_snippet_s(features))
    backbone, _, of_objects = next(iter(kinds))
    if of_objects and seen_as != "snippets":
        raise DataError(f'{folder}: features of objects cannot be seen as {seen_as}; set data.seen_as to "snippets", which uses every row')
    if not lengths_s:
        raise DataError(f"{captions_path}: nothing moves in any of its {len(names)} videos; expected features with rows: check the videos")
    number = {name: i for i, name in enumerate(names)}
    video_of = torch.tensor([number[caption.vid] for caption in captions])
    values = StoredFeatures(paths, seen_as=seen_as, longest=longest, cache_mb=cache_mb)
    return CaptionedVideos(captions, values, video_of, backbone, float(np.median(lengths_s)), of_objects)


def _check_alike(kinds: Mapping[tuple[str, int, bool], str], folder: Path) -> None:
    """Refuse mixed features. `kinds` maps (backbone, width, whether of objects) to a video with such features."""
    if len(kinds) > 1:
        (one, a), (two, b) = (
            (f"{made} ({width} wide{', of objects' if objects else ''})", name) for (made, width, objects), name in kinds.items()
        )
        raise DataError(f"{folder}: {a} was made by {one}, {b} by {two}; extract all with the same settings")


def _snippet_s(features: Features) -> float:
    """Length of a snippet in seconds: the median, or the recorded length for rows of objects, which may be shorter than a snippet."""
    lengths_s = features.times_s[:, 1] - features.times_s[:, 0]
    if features.tracks is None:
        return float(np.median(lengths_s))
    try:
        recorded = float(features.extra.get("snippet_s", "nan"))
    except ValueError:
        recorded = float("nan")
    return recorded if 0 < recorded < np.inf else float(lengths_s.max())


def moments_of_features(data: CaptionedVideos, progress: Callable[[int, int], None] | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (Dv) of the features over all rows, with one video in memory at a time.

    Sums of squares about the mean are merged piece by piece in float64 (Chan, Golub and LeVeque 1979), so a large offset
    does not cost precision.

    Args:
        data: captioned videos.
        progress: called with the number of videos read and the total.

    Raises:
        FeatureError: a .feat file cannot be used.
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
