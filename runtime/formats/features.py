"""The .feat file: features of snippets, or of objects in snippets, with their times; a safetensors file opened as a memory map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.limits import MOST_S
from wsra.runtime.files.mapping import intact
from wsra.runtime.files.tensors import TensorFile, write_tensors
from wsra.runtime.files.writing import replacing
from wsra.runtime.formats.tracks import TENSORS, Tracks, check_tracks

FORMAT = "wsra.feat"
OF_SNIPPETS, OF_OBJECTS = "1", "2"  # versions of the file
_PIECE = 16_384  # rows read at a time, so that a day of video stays on disk
_OVERLAP_S = 1e-6


@dataclass(frozen=True)
class FeatureSummary:
    """What a .feat file says of its video, without its numbers; the attributes are those of `Features`.

    Attributes:
        video: name or path of the video.
        duration_s: length of the video in seconds.
        backbone: name and digest of what made the features.
        width: numbers per row.
        rows: how many rows there are.
        extra: further metadata, as strings.
    """

    video: str
    duration_s: float
    backbone: str
    width: int
    rows: int
    extra: Mapping[str, str]


@dataclass(frozen=True)
class Features:
    """Features of one video: a row per snippet, or a row per object in a snippet.

    Attributes:
        values: (T, D) float16 or float32. Features of objects may have no rows.
        times_s: (T, 2) float64, start and end of each row in presentation seconds. Those of snippets increase and do not overlap; those
            of objects are sorted by start.
        video: name or path of the video.
        duration_s: length of the video in seconds.
        backbone: name and digest of what made the features.
        extra: further metadata, as strings (`source_sha256`, `start_time`, ...).
        tracks: the track of each row, for features of objects; None for features of snippets.
        file: the open .feat file that holds them; None for features in memory and for copies (`dataclasses.replace`).
    """

    values: NDArray[Any]
    times_s: NDArray[np.float64]
    video: str
    duration_s: float
    backbone: str
    extra: Mapping[str, str] = field(default_factory=dict)
    tracks: Tracks | None = None
    file: TensorFile | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check shapes and times; numbers are checked when they are read, so that a day of video opens in milliseconds.

        Raises:
            FeatureError: a value cannot be used; the message names it.
        """
        _check(self)

    @property
    def path(self) -> Path | None:
        """The .feat file that holds them, or None."""
        return self.file.path if self.file is not None else None

    @property
    def width(self) -> int:
        """Width of a row, D."""
        return int(self.values.shape[1])

    @property
    def summary(self) -> FeatureSummary:
        """What they say of the video."""
        return FeatureSummary(self.video, self.duration_s, self.backbone, self.width, len(self), self.extra)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read rows [start, stop) from disk, as float32.

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
            what = "snippet" if self.tracks is None else "row"
            raise FeatureError(
                f"{self.video}: {values[row, column]} in {what} {start + row}, number {column}; expected finite features:"
                " extract or convert the video again"
            )
        return values

    def _check_blocks(self, file: TensorFile, start: int, stop: int) -> None:
        try:
            file.check("features", self.values, start, stop)
        except FeatureError as err:
            raise FeatureError(f"{err}: extract or convert it again") from err

    def check_finite(self) -> None:
        """Read everything once, piece by piece.

        Raises:
            FeatureError: a number is NaN or infinite.
        """
        for start in range(0, len(self), _PIECE):
            self.rows(start, start + _PIECE)


def _check(features: Features) -> None:
    values, times, video, tracks = features.values, features.times_s, features.video, features.tracks
    if values.ndim != 2 or values.dtype not in (np.float16, np.float32):
        raise FeatureError(f"{video}: features are {values.dtype} {values.shape}; expected float16 or float32 (snippets, width)")
    if values.shape[1] == 0 or (values.shape[0] == 0 and tracks is None):
        raise FeatureError(f"{video}: features are empty {values.shape}; expected at least one snippet with at least one number")
    if times.shape != (values.shape[0], 2) or times.dtype != np.float64:
        raise FeatureError(f"{video}: times are {times.dtype} {times.shape}; expected float64 ({values.shape[0]}, 2)")
    if not np.isfinite(times).all():
        raise FeatureError(f"{video}: times hold NaN or infinite values; expected seconds")
    if tracks is None:
        _check_times_of_snippets(times, video)
    else:
        if not (times[:, 1] > times[:, 0]).all() or not (times[1:, 0] >= times[:-1, 0]).all():
            raise FeatureError(f"{video}: times of rows are not sorted; expected start < end, and no start before the previous one")
        check_tracks(tracks, rows=len(values), video=video)
    if not 0 < features.duration_s <= MOST_S:
        raise FeatureError(f"{video}: duration is {features.duration_s} s; expected more than 0 s and at most ten years")
    if len(times) and not -MOST_S <= times[0, 0] <= times[:, 1].max() <= MOST_S:
        raise FeatureError(f"{video}: times from {times[0, 0]:g} to {times[-1, 1]:g} s; expected at most ten years")


def _check_times_of_snippets(times: NDArray[np.float64], video: str) -> None:
    if not (times[:, 1] > times[:, 0]).all() or not (times[1:, 0] > times[:-1, 0]).all():
        row = int(np.argmin(np.append(times[1:, 0] > times[:-1, 0], True) & (times[:, 1] > times[:, 0])))
        raise FeatureError(f"{video}: times do not increase at snippet {row}; expected start < end, and each start after the previous one")
    if not (times[1:, 0] >= times[:-1, 1] - _OVERLAP_S).all():
        row = int(np.argmin(times[1:, 0] >= times[:-1, 1] - _OVERLAP_S))
        raise FeatureError(f"{video}: snippets {row} and {row + 1} overlap in time; end each snippet where the next one starts")


def read_features(path: Path | str, *, width: int | None = None) -> Features:
    """Open a .feat file; the numbers stay on disk until they are used.

    Args:
        path: the file.
        width: the expected width of a row, or None.

    Raises:
        FeatureError: the file is missing, foreign or truncated, or contains unusable numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureError(f"{path}: no such file; expected a .feat file (make one with wsra extract or wsra convert)")
    try:
        file = TensorFile(path)
    except FeatureError as err:
        raise FeatureError(f"{err}; it is not a readable .feat file: extract or convert it again") from err
    metadata = file.metadata
    if metadata.get("format") != FORMAT or not {"features", "times_s"} <= file.names:
        raise FeatureError(f"{path}: a safetensors file, but not a {FORMAT} file; convert features with wsra convert")
    version = metadata.get("version")
    if version not in (OF_SNIPPETS, OF_OBJECTS):
        raise FeatureError(f"{path}: .feat version {version}; this wsra reads versions {OF_SNIPPETS} and {OF_OBJECTS}: extract it again")
    expected = {"features", "times_s"} | ({name for name, _, _ in TENSORS.values()} if version == OF_OBJECTS else set())
    if unexpected := file.names ^ expected:  # perhaps digests whose name is damaged
        verb = "has" if unexpected & file.names else "lacks"
        raise FeatureError(
            f"{path}: {verb} {', '.join(sorted(unexpected))} besides features and times_s; it is damaged: extract or convert it again"
        )
    missing = {"video", "duration_s", "backbone"} - metadata.keys()
    if missing:
        raise FeatureError(f"{path}: metadata lacks {', '.join(sorted(missing))}; extract or convert it again")
    try:
        duration_s = float(metadata["duration_s"])
    except ValueError as err:
        raise FeatureError(f"{path}: duration_s is {metadata['duration_s']!r}; expected seconds: extract it again") from err
    extra = {k: v for k, v in metadata.items() if k not in ("format", "version", "video", "duration_s", "backbone")}
    try:
        features = Features(
            values=file.map("features"),
            times_s=file.read("times_s"),
            video=metadata["video"],
            duration_s=duration_s,
            backbone=metadata["backbone"],
            extra=extra,
            tracks=_read_tracks(file) if version == OF_OBJECTS else None,
        )
    except FeatureError as err:
        message = str(err)
        raise FeatureError(message if message.startswith(str(path)) else f"{path}: {message}") from err
    if width is not None and features.width != width:
        raise FeatureError(
            f"{path}: {features.width} numbers per row (made by {features.backbone}); expected {width}:"
            " extract the video with the backbone of the bundle"
        )
    object.__setattr__(features, "file", file)
    return features


def _read_tracks(file: TensorFile) -> Tracks:
    return Tracks.from_arrays({name: file.read(name) for name, _, _ in TENSORS.values()})


def write_features(path: Path | str, features: Features) -> None:
    """Write a .feat file with digests: to a temporary file, which is synced to disk and then renamed.

    Raises:
        FeatureError: a number is NaN or infinite.
        OutputError: the place cannot be written.
    """
    features.check_finite()
    metadata = {
        "format": FORMAT,
        "version": OF_SNIPPETS if features.tracks is None else OF_OBJECTS,
        "video": features.video,
        "duration_s": repr(float(features.duration_s)),
        "backbone": features.backbone,
        **features.extra,
    }
    with replacing(Path(path), durable=True) as part:
        tensors = {"features": features.values, "times_s": features.times_s}
        if features.tracks is not None:
            tensors |= features.tracks.arrays()
        write_tensors(part, tensors, metadata, digests=True)
