"""Consecutive files of one camera as one recording: their rows follow each other on one clock, and a file is open while it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.tensors import TensorFile
from wsra.runtime.formats.features import Features, read_features
from wsra.runtime.grounding.lives import Lives, joined_lives, piece_of

GAP_S = 5.0  # a recording that was off for longer is two stretches
_OPEN = 2  # parts: windows that begin in one end in the next


@dataclass(frozen=True)
class Part:
    """Rows [first, last) of a video, which stand for its seconds `from_s` to `to_s`.

    Attributes:
        source: features of the whole video, or their file.
        first: its first row.
        last: the row after the last one.
        from_s: where the part begins, in seconds of the video.
        to_s: where it ends.
        file: what `joined` read of the head of the file, so that kept keys are found without opening it again; else None.
    """

    source: Features | Path
    first: int
    last: int
    from_s: float
    to_s: float
    file: TensorFile | None = None

    def features(self) -> Features:
        """Of the whole video; a file is opened anew.

        Raises:
            FeatureError: the file cannot be read.
        """
        return self.source if isinstance(self.source, Features) else read_features(self.source)

    def __len__(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class Recording:
    """Parts of one recording; made by `joined`.

    Attributes:
        parts: in order of time.
        starts_s: where each part begins on the clock of the recording.
        times_s: (T, 2) float64 of all rows on that clock.
        video: name of the recording.
        duration_s: from the begin of the first part to the end of the last.
        backbone: name and digest of what made all features.
        width: numbers per row.
        lives: of the tracks, where rows are of objects; None for snippets.
    """

    parts: tuple[Part, ...]
    starts_s: tuple[float, ...]
    times_s: NDArray[np.float64]
    video: str
    duration_s: float
    backbone: str
    width: int
    lives: Lives | None = None

    def __len__(self) -> int:
        return len(self.times_s)


def joined(parts: Sequence[Features | Part], *, video: str, starts_s: Sequence[float] | None = None) -> Recording:
    """Join consecutive parts.

    Grounding has no context beyond a row, so scores are those of the whole; a moment may reach over the boundary of two parts where
    no more than 5 s are missing.

    Args:
        parts: in order of time; features stand for all of their video.
        video: name of the recording.
        starts_s: when each part begins, in seconds on any clock; the recording starts with the first. A part that begins up to 5 s before
            the one before ends follows it, since recorders name files by whole seconds. None: each follows the one before.

    Raises:
        FeatureError: there is no part, one cannot be read, their backbones differ, or one begins more than 5 s before the one before ends.
    """
    if not parts:
        raise FeatureError(f"{video}: no part to join; expected one or more .feat files")
    if starts_s is not None and len(starts_s) != len(parts):
        raise FeatureError(f"{video}: {len(starts_s)} starts for {len(parts)} parts; expected one for each")
    held = [part if isinstance(part, Part) else Part(part, 0, len(part), 0.0, part.duration_s) for part in parts]
    first = before = held[0].features()
    held[0] = replace(held[0], source=first) if len(held) == 1 else replace(held[0], file=first.file)  # so that it is opened once
    times = [first.times_s[held[0].first : held[0].last]]
    if held[0].from_s:
        times = [times[0] - held[0].from_s]
    begins = [0.0]
    pieces = [piece_of(held[0], first, 0.0)] if first.tracks is not None else []
    for number, part in enumerate(held[1:], 1):
        features = part.features()
        held[number] = replace(part, file=features.file)
        if (features.backbone, features.width, features.tracks is None) != (first.backbone, first.width, first.tracks is None):
            raise FeatureError(
                f"{features.video}: features of {features.backbone} ({features.width} wide) do not join those of {first.video}"
                f" ({first.backbone}, {first.width} wide): extract both with one backbone"
            )
        length_s = held[number - 1].to_s - held[number - 1].from_s
        if first.tracks is None:
            length_s = max(length_s, float(times[-1][-1, 1]) - begins[-1])
        begin_s = end_s = begins[-1] + length_s
        if starts_s is not None:
            early_s = length_s - float(starts_s[number] - starts_s[number - 1])
            if early_s > GAP_S:
                raise FeatureError(
                    f"{features.video}: starts {early_s:.1f} s before {before.video} ends; expected files that follow each other:"
                    " ground them apart"
                )
            begin_s = max(end_s, float(starts_s[number] - starts_s[0]))
        begins.append(begin_s)
        times.append(features.times_s[part.first : part.last] - part.from_s + begin_s)
        if features.tracks is not None:
            pieces.append(piece_of(part, features, begin_s))
        before = features
    duration_s = begins[-1] + held[-1].to_s - held[-1].from_s
    times_s = times[0] if len(times) == 1 else np.concatenate(times)  # of a month one copy less
    lives = joined_lives(pieces) if pieces else None
    return Recording(tuple(held), tuple(begins), times_s, video, duration_s, first.backbone, first.width, lives)


def recording_of(features: Features | Recording) -> Recording:
    """The same; of the features of one video a recording in one part."""
    return features if isinstance(features, Recording) else joined([features], video=features.video)


class RecordingRows:
    """Rows of the parts of a recording one after the other, read in slices; the two parts that were read last are kept open.

    Args (constructor):
        lengths: rows of each part.
        width: numbers per row.
        rows: opens the rows of a part, float16 or float32.
    """

    def __init__(self, lengths: Sequence[int], *, width: int, rows: Callable[[int], NDArray[Any]]) -> None:
        self._edges = np.cumsum([0, *lengths])
        self._rows = lru_cache(_OPEN)(rows)
        self.shape = (int(self._edges[-1]), width)

    def __getitem__(self, span: slice, /) -> NDArray[Any]:
        """Consecutive rows; of one part a view."""
        start, stop, _ = span.indices(self.shape[0])
        first, last = int(np.searchsorted(self._edges, start, "right")) - 1, int(np.searchsorted(self._edges, stop, "left"))
        pieces = []
        for number in range(first, last):
            before = int(self._edges[number])
            pieces.append(self._rows(number)[max(0, start - before) : stop - before])
        if not pieces:
            return np.zeros((0, self.shape[1]), np.float32)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
