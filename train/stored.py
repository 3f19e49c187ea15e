"""Features that stay on disk: a sequence of videos, each read when it is asked for.

Shapes: T snippets, D feature width.
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
from wsra.runtime.features import Features, read_features
from wsra.runtime.spans import pooled_means
from wsra.runtime.windows import PlanName, Timeline, planned_positions

SeenAs = Literal["snippets", "windows", "segments"]


class StoredFeatures(Sequence[Tensor]):
    """The videos of a training set as .feat files: item i is (T, D) float32, read anew each time, and no file is kept open.

    Args (constructor):
        paths: the .feat files.
        seen_as: "snippets", "windows" (47 pooled windows per video) or "segments" (those of DiDeMo's 21 that start before it ends).
        longest: a video of more snippets is seen as so many equal runs of them, averaged; 0 for no limit.
        cache_mb: the first videos that are read stay in memory, up to so many MB.
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
        """Read one video; a slice reads nothing yet.

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
        if self.seen_as == "snippets" and not 0 < self.longest < len(rows):
            return np.array(rows)  # float32 rows are still the memory map
        return pooled_means(rows, self._positions(features)).astype(np.float32)

    def places(self, index: int) -> tuple[Timeline, NDArray[np.float64]]:
        """Where the rows of a video lie: its timeline, and the (T, 2) positions on it that each row stands for.

        Raises:
            FeatureError: the file cannot be used.
        """
        features = read_features(self.paths[index])
        return Timeline(features.times_s), self._positions(features)

    def _positions(self, features: Features) -> NDArray[np.float64]:
        if self.seen_as != "snippets":
            plan: PlanName = "relative" if self.seen_as == "windows" else "segments"
            return planned_positions(plan, Timeline(features.times_s), features.times_s, features.duration_s)
        count = len(features)
        edges = np.linspace(0, count, (min(self.longest, count) or count) + 1)
        return np.stack([edges[:-1], edges[1:]], axis=1)
