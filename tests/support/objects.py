"""Features of objects made by hand: tracks with lives, rows once a second, boxes and views."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsra.runtime.formats.bundle import read_manifest, write_manifest
from wsra.runtime.formats.features import Features
from wsra.runtime.formats.presence import Presence
from wsra.runtime.formats.tracks import Tracks


def object_features(
    lives_s: Sequence[tuple[float, float]],
    *,
    width: int = 6,
    duration_s: float = 60.0,
    video: str = "v",
    backbone: str = "objects",
    seed: int = 0,
    values: np.ndarray | None = None,
    boxes: Sequence[Sequence[float]] | None = None,
) -> Features:
    """Features of tracks with the given lives; each has a row in every second that it touches.

    Args:
        lives_s: start and end of each track.
        width: numbers per row.
        duration_s: of the video.
        video: its name.
        backbone: what claims to have made them.
        seed: of the values.
        values: (N, width) one vector per track that all of its rows share; None for numbers at random.
        boxes: one per track; None for boxes at random.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for track, (start, end) in enumerate(lives_s):
        for second in range(int(np.floor(start)), int(np.ceil(end))):
            rows.append((max(start, float(second)), min(end, second + 1.0), track))
    rows.sort()
    of_row = np.array([track for _, _, track in rows], np.int32)
    count = len(lives_s)
    corners = np.sort(rng.random((count, 2, 2)), axis=1).reshape(count, 4) if boxes is None else np.array(boxes)
    corners = corners.astype(np.float32).reshape(count, 4)
    numbers = rng.normal(size=(len(rows), width)) if values is None else np.asarray(values)[of_row]
    middle = np.array([(start + end) / 2 for start, end in lives_s])
    tracks = Tracks(
        of_row=of_row,
        boxes=corners[of_row],
        lives_s=np.array(lives_s, np.float64).reshape(-1, 2),
        continues=np.full(count, -1, np.int32),
        view_of=np.arange(count, dtype=np.int32),
        views_s=middle.astype(np.float64),
        view_boxes=corners,
    )
    times = np.array([(start, end) for start, end, _ in rows], np.float64).reshape(-1, 2)
    return Features(numbers.astype(np.float16).reshape(len(rows), width), times, video, duration_s, backbone, tracks=tracks)


def lives_bundle(snippets: Path, out: Path, *, theta: float, presence: Presence | None = None) -> Path:
    """The same bundle, for rows of objects: its plan is `tracks`; where `presence` is given, with that one."""
    shutil.copytree(snippets, out)
    manifest = read_manifest(snippets)
    write_manifest(out, replace(manifest, plan="tracks", span_score="lives", theta=theta, presence=presence or manifest.presence))
    return out
