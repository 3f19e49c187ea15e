"""The .feat file: features of snippets with their times, a safetensors file opened as a memory map."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wsra.runtime.errors import FeatureError
from wsra.runtime.files import replacing, save_tensors
from wsra.runtime.limits import MOST_S

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
        path: the .feat file they lie in; None in memory, and of a copy with other numbers (`dataclasses.replace`).
        state: of that file when it was opened, as `state_of` tells it.
    """

    values: NDArray[Any]
    times_s: NDArray[np.float64]
    video: str
    duration_s: float
    backbone: str
    extra: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = field(default=None, init=False, repr=False)
    state: tuple[int, int, int] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check shapes and times; numbers are checked when they are read, so that a day of video opens in milliseconds.

        Raises:
            FeatureError: something cannot be used; the message names it.
        """
        _check(self)

    @property
    def width(self) -> int:
        """Numbers per snippet, D."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read snippets [start, stop) from disk, in float32.

        Raises:
            FeatureError: a number is NaN or infinite.
        """
        values = np.ascontiguousarray(self.values[start:stop], np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise FeatureError(
                f"{self.video}: {values[row, column]} in snippet {start + row}, number {column}; expected finite features:"
                " extract or convert the video anew"
            )
        return values

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
        state = state_of(path)  # before it is opened: of what replaces it meanwhile the state differs
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = set(file.keys())
    except (SafetensorError, OSError, ValueError) as err:
        raise FeatureError(f"{path}: not a readable .feat file ({err}); it may be truncated or foreign: extract it anew") from err
    if metadata.get("format") != FORMAT or not {"features", "times_s"} <= names:
        raise FeatureError(f"{path}: a safetensors file, but not a {FORMAT} file; convert features with wsra convert")
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
            values=mapped(path, "features"),
            times_s=np.array(mapped(path, "times_s")),  # a copy: a map would hold a file handle
            video=metadata["video"],
            duration_s=duration_s,
            backbone=metadata["backbone"],
            extra=extra,
        )
    except FeatureError as err:
        raise FeatureError(f"{path}: {err}") from err
    if width is not None and features.width != width:
        raise FeatureError(
            f"{path}: {features.width} numbers per snippet (made by {features.backbone}); expected {width}:"
            " extract the video with the backbone of the bundle"
        )
    object.__setattr__(features, "path", path)
    object.__setattr__(features, "state", state)
    return features


def state_of(path: Path) -> tuple[int, int, int]:
    """Size in bytes, time of change in nanoseconds and inode: what tells a file from one that took its name."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


_DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


def mapped(path: Path, name: str) -> NDArray[Any]:
    """One tensor of a safetensors file as a memory map (safetensors itself copies into memory for NumPy).

    Raises:
        FeatureError: it is of another type than F16, F32 and F64.
    """
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(header_bytes))[name]
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise FeatureError(f"{name} is {entry['dtype']}; expected F16, F32 or F64")
    if 0 in entry["shape"]:
        return np.zeros(entry["shape"], dtype)
    offset = 8 + header_bytes + entry["data_offsets"][0]
    return np.memmap(path, dtype, "r", offset, tuple(entry["shape"]))


def write_features(path: Path | str, features: Features) -> None:
    """Write a .feat file under a temporary name, then rename it.

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
    with replacing(Path(path)) as part:
        save_tensors({"features": features.values, "times_s": features.times_s}, part, metadata)
