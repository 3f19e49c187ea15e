"""Conversion of published feature sets, in their original layouts.

`didemo`: one HDF5 file with (6, D) per video, RGB (fc7, D = 4096) or flow (D = 1024), one row per segment of 5 s; for a video of five
segments the last row is zero. `charades-i3d`: a folder with one .npy (T, D) per video, or an HDF5 file with one data set per video.
`activitynet-c3d`: an HDF5 file with one group per video that holds `c3d_features` (T, 500), from windows of 16 frames every 8 frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.conversion.convert import array_from_numpy, features_from_array
from wsra.runtime.conversion.hdf5 import hdf5, read_dataset
from wsra.runtime.errors import ConfigError, FeatureError, OutputError
from wsra.runtime.files.names import feat_of
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.progress import Progress, unseen
from wsra.runtime.spans.windows import SEGMENT_S, SEGMENTS

Layout = Literal["didemo", "charades-i3d", "activitynet-c3d"]
Array32 = NDArray[np.float32]
C3D = "c3d_features"
FEWEST = SEGMENTS - 1  # segments of the shortest videos of DiDeMo


@dataclass(frozen=True)
class Converted:
    """The result: numbers of files written and kept, and the median snippet length of those written (None if there are none)."""

    written: int
    kept: int
    snippet_s: float | None


@dataclass(frozen=True)
class Published:
    """A published feature set to convert.

    Attributes:
        source: the file; for `charades-i3d` a file or a folder.
        layout: its layout.
        flow: a second file of DiDeMo, whose rows are appended.
        durations_s: durations of the videos, which determine the length of a snippet: duration / T.
        snippet_s: length of a snippet in seconds, instead of durations.
        context: whether to append the mean over all proposals to every segment of DiDeMo, as the paper does.
        backbone: id of what made the features; None for one derived from the layout and the file names.
    """

    source: Path
    layout: Layout
    flow: Path | None
    durations_s: dict[str, float]
    snippet_s: float | None
    context: bool = True
    backbone: str | None = None

    def __post_init__(self) -> None:
        """Check that the settings fit the layout.

        Raises:
            ConfigError: they do not.
        """
        if self.layout == "didemo" and (self.snippet_s is not None or self.durations_s):
            raise ConfigError(f"--layout didemo has segments of {SEGMENT_S:g} s; leave --snippet-s and --durations out")
        if self.layout != "didemo" and self.flow is not None:
            raise ConfigError(f"--flow is for --layout didemo, not for {self.layout}")
        if self.layout != "didemo" and (self.snippet_s is None) != bool(self.durations_s):
            raise ConfigError(f"--layout {self.layout} has no times; give either --durations or --snippet-s")

    @property
    def made_by(self) -> str:
        """The id that .feat files give as their backbone."""
        files = "+".join(path.name for path in (self.source, self.flow) if path is not None)
        return self.backbone or f"{self.layout}:{files}{'+context' if self.layout == 'didemo' and self.context else ''}"


def convert_all(published: Published, out: Path, *, overwrite: bool, progress: Progress = unseen) -> Converted:
    """Write one .feat file per video; files from an earlier, interrupted conversion of the same features are kept.

    Args:
        published: the feature set.
        out: output folder.
        overwrite: whether to replace every file.
        progress: called with "videos", the number written, and the number to write.

    Raises:
        OutputError: a file with other features exists, or the folder cannot be written.
        FeatureError: the source cannot be used.
    """
    names = video_names(published)
    paths = {name: feat_of(out, name, error=FeatureError, source=published.source) for name in names}
    kept = [] if overwrite else [name for name, path in paths.items() if _is_converted(path, published.made_by)]
    missing = sorted(set(names) - set(kept))
    lengths_s: list[float] = []
    progress("videos", 0, len(missing))
    for features in read_videos(published, missing):
        write_features(paths[features.video], features)
        lengths_s.append(features.duration_s / len(features))
        progress("videos", len(lengths_s), len(missing))
    return Converted(len(missing), len(kept), float(np.median(lengths_s)) if lengths_s else None)


def _is_converted(path: Path, backbone: str) -> bool:
    if path.exists() and read_features(path).backbone != backbone:
        raise OutputError(f"{path}: exists already, with features from elsewhere; choose another folder or replace it with --overwrite")
    return path.exists()


def with_context(segments: Array32) -> Array32:
    """Append to every segment the mean over all proposals of their pooled features, as in section 4.1 of the paper.

    A proposal is a run of segments; its pooled feature is the mean of its rows. The mean over all proposals weights segments unequally:
    those in the middle are in more of them. It is the same for every segment, so pooling the longer rows over any window yields
    the window's own feature followed by the mean.

    Args:
        segments: (n, D) for six segments (21 proposals) or five (15).

    Returns:
        (n, 2 D).
    """
    return np.hstack([segments, np.broadcast_to(proposal_weights(len(segments)) @ segments, segments.shape)]).astype(np.float32)


def proposal_weights(count: int) -> NDArray[np.float64]:
    """Weight (n,) of each of n segments in the mean over all their runs; they sum to 1."""
    weights = np.zeros(count)
    for first in range(count):
        for stop in range(first + 1, count + 1):
            weights[first:stop] += 1 / (stop - first)
    return weights / (count * (count + 1) / 2)


def video_names(published: Published) -> list[str]:
    """Names of the videos.

    Raises:
        FeatureError: the source cannot be read or has another layout.
    """
    if published.layout == "charades-i3d" and published.source.is_dir():
        names = sorted(path.stem for path in published.source.glob("*.npy"))
    else:
        with hdf5(published.source) as file:
            names = sorted(file)
    if not names:
        raise FeatureError(f"{published.source}: no videos in it; expected the layout {published.layout}")
    return names


def read_videos(published: Published, names: list[str]) -> Iterator[Features]:
    """Features of the named videos, one at a time.

    Raises:
        FeatureError: the source cannot be read, or a video has another layout or no duration.
        MissingExtraError: h5py is not installed.
    """
    if published.layout == "didemo":
        yield from _didemo(published, names)
    elif published.source.is_dir():
        for name in names:
            yield _timed(published, name, array_from_numpy(published.source / f"{name}.npy", None))
    else:
        with hdf5(published.source) as file:
            for name in names:
                entry = _member(published.source, file, name, C3D if published.layout == "activitynet-c3d" else None)
                yield _timed(published, name, entry)


def _didemo(published: Published, names: list[str]) -> Iterator[Features]:
    with hdf5(published.source) as first:
        if published.flow is None:
            for name in names:
                yield _segments(published, name, [_member(published.source, first, name, None)])
            return
        with hdf5(published.flow) as second:
            for name in names:
                parts = [_member(published.source, first, name, None), _member(published.flow, second, name, None)]
                yield _segments(published, name, parts)


def _segments(published: Published, name: str, parts: list[NDArray[Any]]) -> Features:
    for part in parts:
        if part.ndim != 2 or part.shape[0] != SEGMENTS:
            raise FeatureError(f"{published.source}: {name} is {part.shape}; expected ({SEGMENTS}, D), one row per segment")
    rows = np.hstack([part.astype(np.float32) for part in parts])
    count = SEGMENTS if rows[-1].any() else FEWEST
    if not rows[:count].any():
        raise FeatureError(f"{published.source}: {name} holds only zeros")
    segments = with_context(rows[:count]) if published.context else rows[:count]
    return features_from_array(segments, video=name, snippet_s=SEGMENT_S, backbone=published.made_by)


def _timed(published: Published, name: str, array: NDArray[Any]) -> Features:
    rows = array.reshape(len(array), -1) if array.ndim > 2 and array.size == len(array) * array.shape[-1] else array  # (T, 1, 1, D)
    if published.snippet_s is not None:
        return features_from_array(rows, video=name, snippet_s=published.snippet_s, backbone=published.made_by)
    if name not in published.durations_s:
        raise FeatureError(f"{published.source}: no duration of {name}; expected one for every video, or give --snippet-s")
    snippet_s = published.durations_s[name] / max(1, len(rows) if rows.ndim else 0)
    return features_from_array(rows, video=name, snippet_s=snippet_s, backbone=published.made_by)


def _member(path: Path, file: Any, name: str, key: str | None) -> NDArray[Any]:
    """The data set of a video, or the one named `key` in its group."""
    return read_dataset(path, file, name if key is None else f"{name}/{key}")
