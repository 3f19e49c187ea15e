"""The .feat file: features of snippets with their times, a safetensors file opened as a memory map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError
from wsra.runtime.files import replacing
from wsra.runtime.limits import MOST_S
from wsra.runtime.mapping import intact
from wsra.runtime.tensors import TensorFile, write_tensors

FORMAT, VERSION = "wsra.feat", "1"
_PIECE = 16_384  # snippets read at a time, so that a day of video stays on disk
_OVERLAP_S = 1e-6


@dataclass(frozen=True)
class Features:
    """Features of one video.

    Attributes:
        values: (T, D) float16 or float32, one row per snippet.
        times_s: (T, 2) float64, start and end of each snippet in presentation seconds; increasing, not overlapping.
        video: name or path of the video.
        duration_s: length of the video in seconds.
        backbone: name and digest of what made the features.
        extra: further metadata, as strings (`source_sha256`, `start_time`, ...).
        file: the open .feat file they lie in; None in memory, and of a copy with other numbers (`dataclasses.replace`).
    """

    values: NDArray[Any]
    times_s: NDArray[np.float64]
    video: str
    duration_s: float
    backbone: str
    extra: Mapping[str, str] = field(default_factory=dict)
    file: TensorFile | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check shapes and times; numbers are checked when they are read, so that a day of video opens in milliseconds.

        Raises:
            FeatureError: something cannot be used; the message names it.
        """
        _check(self)

    @property
    def path(self) -> Path | None:
        """The .feat file they lie in, or None."""
        return self.file.path if self.file is not None else None

    @property
    def width(self) -> int:
        """Numbers per snippet, D."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read snippets [start, stop) from disk, in float32.

        Raises:
            FeatureError: a number is NaN or infinite, or the file is damaged there.
        """
        with intact():
            if self.file is not None:
                self._check_blocks(self.file, start, stop)
            values = np.array(self.values[start:stop], np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise FeatureError(
                f"{self.video}: {values[row, column]} in snippet {start + row}, number {column}; expected finite features:"
                " extract or convert the video anew"
            )
        return values

    def _check_blocks(self, file: TensorFile, start: int, stop: int) -> None:
        try:
            file.check("features", self.values, start, stop)
        except FeatureError as err:
            raise FeatureError(f"{err}: extract or convert it anew") from err

    def check_finite(self) -> None:
        """Read everything once, piece by piece.

        Raises:
            FeatureError: a number is NaN or infinite.
        """
        for start in range(0, len(self), _PIECE):
            self.rows(start, start + _PIECE)


def _check(features: Features) -> None:
    values, times, video = features.values, features.times_s, features.video
    if values.ndim != 2 or values.dtype not in (np.float16, np.float32):
        raise FeatureError(f"{video}: features are {values.dtype} {values.shape}; expected float16 or float32 (snippets, width)")
    if values.shape[0] == 0 or values.shape[1] == 0:
        raise FeatureError(f"{video}: features are empty {values.shape}; expected at least one snippet with at least one number")
    if times.shape != (values.shape[0], 2) or times.dtype != np.float64:
        raise FeatureError(f"{video}: times are {times.dtype} {times.shape}; expected float64 ({values.shape[0]}, 2)")
    if not np.isfinite(times).all():
        raise FeatureError(f"{video}: times hold NaN or infinite values; expected seconds")
    if not (times[:, 1] > times[:, 0]).all() or not (times[1:, 0] > times[:-1, 0]).all():
        row = int(np.argmin(np.append(times[1:, 0] > times[:-1, 0], True) & (times[:, 1] > times[:, 0])))
        raise FeatureError(f"{video}: times do not increase at snippet {row}; expected start < end and each start after the last")
    if not (times[1:, 0] >= times[:-1, 1] - _OVERLAP_S).all():
        row = int(np.argmin(times[1:, 0] >= times[:-1, 1] - _OVERLAP_S))
        raise FeatureError(f"{video}: snippets {row} and {row + 1} overlap in time; give each snippet its stride as its time")
    if not 0 < features.duration_s <= MOST_S:
        raise FeatureError(f"{video}: duration is {features.duration_s} s; expected more than 0, and ten years at most")
    if not -MOST_S <= times[0, 0] <= times[-1, 1] <= MOST_S:
        raise FeatureError(f"{video}: times from {times[0, 0]:g} to {times[-1, 1]:g} s; expected ten years at most")


def read_features(path: Path | str, *, width: int | None = None) -> Features:
    """Open a .feat file; the numbers stay on disk until they are used.

    Args:
        path: the file.
        width: numbers per snippet that are expected, where the caller knows.

    Raises:
        FeatureError: the file is missing, foreign, truncated or holds unusable numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureError(f"{path}: no such file; expected a .feat file (make one with wsra extract or wsra convert)")
    try:
        file = TensorFile(path)
    except FeatureError as err:
        raise FeatureError(f"{err}; it is no readable .feat file: extract or convert it anew") from err
    metadata = file.metadata
    if metadata.get("format") != FORMAT or not {"features", "times_s"} <= file.names:
        raise FeatureError(f"{path}: a safetensors file, but not a {FORMAT} file; convert features with wsra convert")
    if others := file.names - {"features", "times_s"}:  # perhaps digests whose name is damaged
        raise FeatureError(
            f"{path}: holds {', '.join(sorted(others))} beside features and times_s; it is damaged: extract or convert it anew"
        )
    if metadata.get("version") != VERSION:
        raise FeatureError(f"{path}: .feat version {metadata.get('version')}; this wsra reads version {VERSION}: extract it anew")
    missing = {"video", "duration_s", "backbone"} - metadata.keys()
    if missing:
        raise FeatureError(f"{path}: metadata lacks {', '.join(sorted(missing))}; extract or convert it anew")
    try:
        duration_s = float(metadata["duration_s"])
    except ValueError as err:
        raise FeatureError(f"{path}: duration_s is {metadata['duration_s']!r}; expected seconds: extract it anew") from err
    extra = {k: v for k, v in metadata.items() if k not in ("format", "version", "video", "duration_s", "backbone")}
    try:
        features = Features(
            values=file.map("features"),
            times_s=file.read("times_s"),
            video=metadata["video"],
            duration_s=duration_s,
            backbone=metadata["backbone"],
            extra=extra,
        )
    except FeatureError as err:
        told = str(err)
        raise FeatureError(told if told.startswith(str(path)) else f"{path}: {told}") from err
    if width is not None and features.width != width:
        raise FeatureError(
            f"{path}: {features.width} numbers per snippet (made by {features.backbone}); expected {width}:"
            " extract the video with the backbone of the bundle"
        )
    object.__setattr__(features, "file", file)
    return features


def write_features(path: Path | str, features: Features) -> None:
    """Write a .feat file, with digests, under a temporary name, let the disk have it, then rename it.

    Raises:
        FeatureError: a number is NaN or infinite.
        OutputError: the place cannot be written.
    """
    features.check_finite()
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "video": features.video,
        "duration_s": repr(float(features.duration_s)),
        "backbone": features.backbone,
        **features.extra,
    }
    with replacing(Path(path), durable=True) as part:
        write_tensors(part, {"features": features.values, "times_s": features.times_s}, metadata, digests=True)
