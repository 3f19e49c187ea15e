"""Features that stay on disk: a sequence of videos, each read on access.

A video is a bag of rows. A video of objects in which nothing moves becomes one row of zeros.
Shapes: T rows, D feature width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsra.runtime.errors import FeatureError
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.spans.sums import pooled_means
from wsra.runtime.spans.windows import PlanName, Timeline, planned_positions

SeenAs = Literal["snippets", "windows", "segments"]


class StoredFeatures(Sequence[Tensor]):
    """The videos of a training set as .feat files: item i is (T, D) float32, read on each access; no file is kept open.

    Args (constructor):
        paths: the .feat files.
        seen_as: "snippets" (rows as they are), "windows" (47 pooled windows per video) or "segments" (those of DiDeMo's 21 that start
            before the video ends); the last two need features of snippets.
        longest: the largest number of rows per video. Of a longer video, snippets are averaged in that many equal runs, and rows of objects
            are subsampled evenly in time, since an average of different objects is meaningless. 0 means no limit.
        cache_mb: the first videos that are read stay in memory, up to this size.
    """

    def __init__(self, paths: Sequence[Path], *, seen_as: SeenAs, longest: int = 0, cache_mb: int = 0) -> None:
        self.paths = tuple(paths)
        self.seen_as: SeenAs = seen_as
        self.longest = longest
        self._kept: dict[int, Tensor] = {}
        self._free_bytes = cache_mb * 1_000_000

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        """Read one video; a slice reads nothing until its items are accessed.

        Raises:
            FeatureError: the file cannot be used, or holds NaN or infinite numbers.
        """
        if isinstance(index, slice):
            return StoredFeatures(self.paths[index], seen_as=self.seen_as, longest=self.longest)
        if index in self._kept:
            return self._kept[index]
        values = torch.from_numpy(self._read(self.paths[index]))
        if values.nbytes <= self._free_bytes:
            self._free_bytes -= values.nbytes
            self._kept[index] = values
        return values

    def _read(self, path: Path) -> NDArray[np.float32]:
        features = read_features(path)
        try:
            rows = features.rows(0, len(features))
        except FeatureError as err:
            raise FeatureError(f"{path}: {err}") from err
        if features.tracks is not None:
            return rows[self._chosen(len(rows))] if len(rows) else np.zeros((1, features.width), np.float32)
        if self.seen_as == "snippets" and not 0 < self.longest < len(rows):
            return np.array(rows)  # a copy: float32 rows would still be the memory map
        return pooled_means(rows, self._positions(features)).astype(np.float32)

    def features(self, index: int) -> Features:
        """The features from which a video is read.

        Raises:
            FeatureError: the file cannot be used.
        """
        return read_features(self.paths[index])

    def tracks_seen(self, features: Features) -> NDArray[np.int64]:
        """The track of each row (T,) of a video of objects as training sees it; -1 for the row of zeros of an empty video."""
        if features.tracks is None or len(features) == 0:
            return np.full(1, -1, np.int64)
        return features.tracks.of_row[self._chosen(len(features))].astype(np.int64)

    def _chosen(self, count: int) -> NDArray[np.int64]:
        """Indices of the rows of objects that training sees: all, or `longest` of them, evenly spaced."""
        if not 0 < self.longest < count:
            return np.arange(count)
        return np.floor((np.arange(self.longest) + 0.5) * count / self.longest).astype(np.int64)

    def places(self, index: int) -> tuple[Timeline, NDArray[np.float64]]:
        """Positions of the rows of a video of snippets: its timeline, and the (T, 2) positions on it that each row covers.

        Raises:
            FeatureError: the file cannot be used.
        """
        features = self.features(index)
        return Timeline(features.times_s), self._positions(features)

    def _positions(self, features: Features) -> NDArray[np.float64]:
        if self.seen_as != "snippets":
            plan: PlanName = "relative" if self.seen_as == "windows" else "segments"
            return planned_positions(plan, Timeline(features.times_s), features.times_s, features.duration_s)
        count = len(features)
        edges = np.linspace(0, count, (min(self.longest, count) or count) + 1)
        return np.stack([edges[:-1], edges[1:]], axis=1)
