"""Conversion of tracks between two files of one camera to arrays and back, with checks of their values.

Every array is float64, with tracks on the first axis; lists are padded with zeros to their maximum length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.blobs import MATCHED, PARTS, SILHOUETTE_COLUMNS, SILHOUETTE_ROWS, Blob
from wsra.runtime.backbones.tracking.boxes import Box
from wsra.runtime.backbones.tracking.colours import COLOURS
from wsra.runtime.backbones.tracking.profile import CLOSING, MOST_SIZES, MOST_STEPS, OPENING, Profile, Sizes, Span
from wsra.runtime.backbones.tracking.tracks import Track
from wsra.runtime.files.limits import MOST_S

PREFIX = "track_"
FIRST = PREFIX + "time_s"  # its length is the number of tracks
MOST_TRACKS = 512  # the ones with the most observations
_BLOB_SHAPES: dict[str, tuple[int, ...]] = {
    "box": (4,),
    "silhouette": (SILHOUETTE_ROWS * SILHOUETTE_COLUMNS,),
    "parts": (len(PARTS), len(COLOURS) + 3),
    "colours": (len(MATCHED), len(COLOURS)),
}
_TIME, _SHARE, _BOX, _FLAG, _COUNT = (-MOST_S, MOST_S), (1e-9, 4.0), (-16.0, 16.0), (0.0, 1.0), (0.0, 1e12)
_BLOB = tuple(part.name for part in fields(Blob) if part.name != "label")  # only tracks of the background are carried over
_POSITIVE = ("width", "height", "aspect", "area")  # fields of a blob


@dataclass(frozen=True)
class _Column:
    """One array: the shape of a track's entry, and its plausible range."""

    shape: tuple[int, ...]
    between: tuple[float, float]
    whole: bool = False


_COLUMNS = {
    "box": _Column((4,), _BOX),
    "time_s": _Column((), _TIME),
    "size": _Column((2,), _SHARE),
    "area": _Column((), _SHARE),
    "colours": _Column((len(MATCHED), len(COLOURS)), (-1e-6, 1.1)),
    "speed": _Column((2,), (-100.0, 100.0)),
    "flags": _Column((6,), _FLAG, whole=True),  # shared, given up, decided, moves; whether there are `waiting_s` and `whole_s`
    "alone": _Column((2,), (1.0, 1e12), whole=True),  # of the track and of its profile
    "waiting_s": _Column((2,), _TIME),
    "waiting": _Column((), _COUNT, whole=True),
    "continues": _Column((), (-1.0, 2.0**31 - 1), whole=True),
    "first": _Column((6,), _TIME),  # time, box, area
    "last": _Column((6,), _TIME),
    "sum": _Column((len(MATCHED), len(COLOURS)), (-1e-6, 1e12)),
    "count": _Column((), (1.0, 1e12), whole=True),
    "extent": _Column((4,), _BOX),
    "inner": _Column((2, 4), (-1.0, 2.0)),
    "sampled": _Column((2,), _COUNT, whole=True),  # stride, skipped
    "lengths": _Column((5,), (0.0, MOST_SIZES), whole=True),  # of the following lists
    "sizes": _Column((MOST_SIZES, 3), (0.0, 4.0)),
    "rising": _Column((MOST_STEPS, 2), _TIME),
    "falling": _Column((MOST_STEPS, 2), _TIME),
    "opening": _Column((OPENING, 2), _BOX),
    "closing": _Column((CLOSING, 3), _TIME),
    "whole_s": _Column((2,), _TIME),
    "before_s": _Column((), _TIME),
    **{f"before_{name}": _Column(_BLOB_SHAPES.get(name, ()), (-1e4, 1e4)) for name in _BLOB},
}
_LISTS = ("sizes", "rising", "falling", "opening", "closing")


def packed(tracks: Sequence[Track]) -> dict[str, NDArray[np.float64]]:
    """Tracks as arrays, at most `MOST_TRACKS` of them.

    Args:
        tracks: tracks from `Tracker.finish`: without rows or views, and each with an earlier observation.
    """
    if len(tracks) > MOST_TRACKS:
        most = sorted(range(len(tracks)), key=lambda index: -tracks[index].alone)[:MOST_TRACKS]
        tracks = [tracks[index] for index in sorted(most)]
    entries = [_entries(track) for track in tracks]
    return {
        PREFIX + name: np.array([_filled(entry[name], column) for entry in entries], np.float64).reshape(-1, *column.shape)
        for name, column in _COLUMNS.items()
    }


def _filled(entry: Any, column: _Column) -> NDArray[np.float64]:
    given = np.asarray(entry, np.float64)
    filled = np.zeros(column.shape)
    if given.size:
        filled[tuple(slice(length) for length in given.shape)] = given
    return filled


def _entries(track: Track) -> dict[str, Any]:
    profile, waiting, whole = track.profile, track.waiting, track.profile.span.whole
    assert track.before is not None
    before_s, blob = track.before
    lists: list[list[Any]] = [profile.sizes.values, profile.span.rising, profile.span.falling, profile.opening, list(profile.closing)]
    return {
        "box": track.box,
        "time_s": track.time_s,
        "size": track.size,
        "area": track.area,
        "colours": track.colours,
        "speed": track.speed,
        "flags": (track.shared, track.given_up, track.decided, track.moves, waiting is not None, whole is not None),
        "alone": (track.alone, profile.alone),
        "waiting_s": waiting[:2] if waiting is not None else (0.0, 0.0),
        "waiting": waiting[2] if waiting is not None else 0,
        "continues": track.continues,
        "first": (profile.first[0], *profile.first[1], profile.first[2]),
        "last": (profile.last[0], *profile.last[1], profile.last[2]),
        "sum": profile.colours,
        "count": profile.count,
        "extent": profile.extent,
        "inner": profile.inner,
        "sampled": (profile.sizes.stride, profile.sizes.skipped),
        "lengths": [len(values) for values in lists],
        **dict(zip(_LISTS, lists, strict=True)),
        "whole_s": whole or (0.0, 0.0),
        "before_s": before_s,
        **{f"before_{name}": getattr(blob, name) for name in _BLOB},
    }


def shapes(count: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays for this number of tracks."""
    return {PREFIX + name: (count, *column.shape) for name, column in _COLUMNS.items()}


def check(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse arrays that `packed` never returns.

    Raises:
        ValueError: a number is NaN, infinite, out of range, or inconsistent with the others.
    """
    for name, column in _COLUMNS.items():
        array, (least, most) = arrays[PREFIX + name], column.between
        if not ((array >= least) & (array <= most)).all() or (column.whole and (array != np.round(array)).any()):
            raise ValueError(f"{PREFIX}{name} holds a value that is not between {least:g} and {most:g}, or no whole number")
    lengths = arrays[PREFIX + "lengths"]
    if not (lengths <= [_COLUMNS[name].shape[0] for name in _LISTS]).all() or not (lengths[:, [0, 3, 4]] >= 1).all():
        raise ValueError(f"{PREFIX}lengths are not those of lists")
    flags = arrays[PREFIX + "flags"]
    if not (lengths[:, 1:3].min(axis=1) + flags[:, 5] >= 1).all():
        raise ValueError(f"{PREFIX}flags tell of a track that was never in view")
    if not np.isin(arrays[PREFIX + "sampled"][:, 0], 2.0 ** np.arange(40)).all():
        raise ValueError(f"{PREFIX}sampled holds a stride that is no power of two")
    for name, length, numbers in (("sizes", 0, np.s_[:]), ("opening", 3, np.s_[:1]), ("closing", 4, np.s_[1:2])):
        used = np.arange(_COLUMNS[name].shape[0])[None] < lengths[:, length : length + 1]
        if not (arrays[PREFIX + name][used][:, numbers] > 0).all():
            raise ValueError(f"{PREFIX}{name} holds a size that is not above 0")
    if not all((arrays[f"{PREFIX}before_{name}"] > 0).all() for name in _POSITIVE):
        raise ValueError(f"{PREFIX}before holds a size that is not above 0")


def unpacked(arrays: Mapping[str, NDArray[Any]]) -> list[Track]:
    """The tracks that were given to `packed`."""
    count = len(arrays[FIRST])
    return [_track(number, {name: arrays[PREFIX + name][number] for name in _COLUMNS}) for number in range(count)]


def _track(number: int, entry: Mapping[str, Any]) -> Track:
    shared, given_up, decided, moves, waits, seen_whole = (bool(flag) for flag in entry["flags"])
    lists = {
        name: [tuple(float(x) for x in row) for row in entry[name][: int(length)]]
        for name, length in zip(_LISTS, entry["lengths"], strict=True)
    }
    sizes: Any = lists["sizes"]
    span = Span(_pairs(lists["rising"]), _pair(entry["whole_s"]) if seen_whole else None, _pairs(lists["falling"]))
    profile = Profile(
        first=_seen(entry["first"]),
        last=_seen(entry["last"]),
        colours=entry["sum"].copy(),
        count=int(entry["count"]),
        alone=int(entry["alone"][1]),
        extent=_box(entry["extent"]),
        inner=entry["inner"].copy(),
        sizes=Sizes(int(entry["sampled"][0]), int(entry["sampled"][1]), sizes),
        span=span,
        opening=_pairs(lists["opening"]),
        closing=deque(((time_s, area, x) for time_s, area, x in lists["closing"]), maxlen=CLOSING),
    )
    return Track(
        number=number,
        box=_box(entry["box"]),
        time_s=float(entry["time_s"]),
        size=_pair(entry["size"]),
        area=float(entry["area"]),
        colours=entry["colours"].copy(),
        profile=profile,
        shared=shared,
        speed=_pair(entry["speed"]),
        alone=int(entry["alone"][0]),
        waiting=(*_pair(entry["waiting_s"]), int(entry["waiting"])) if waits else None,
        decided=decided,
        moves=moves,
        given_up=given_up,
        before=(float(entry["before_s"]), _blob(entry)),
        continues=int(entry["continues"]),
    )


def _blob(entry: Mapping[str, Any]) -> Blob:
    values: dict[str, Any] = {}
    for name in _BLOB:
        value = entry[f"before_{name}"]
        if name == "box":
            values[name] = _box(value)
        else:
            values[name] = np.asarray(value, np.float32) if name in _BLOB_SHAPES else float(value)
    return Blob(**values)


def _box(values: NDArray[Any]) -> Box:
    left, top, right, bottom = (float(value) for value in values)
    return left, top, right, bottom


def _pair(values: NDArray[Any]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _pairs(values: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
    return [(value[0], value[1]) for value in values]


def _seen(values: NDArray[Any]) -> tuple[float, Box, float]:
    return float(values[0]), _box(values[1:5]), float(values[5])
