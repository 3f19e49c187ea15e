"""A video repeated until it lasts so many hours: what a day costs, from minutes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wsra.runtime.formats.features import Features
from wsra.runtime.formats.tracks import Tracks


def repeated(features: Features, hours: float) -> Features:
    """The features of a video that shows the same again and again.

    Args:
        features: of a video.
        hours: how long the result lasts: rows of snippets are repeated to the snippet, those of objects in whole videos.
    """
    if features.tracks is not None:
        return _again(features, features.tracks, max(1, round(3600 * hours / features.duration_s)))
    step_s = float(np.median(features.times_s[:, 1] - features.times_s[:, 0]))
    starts = np.arange(max(1, round(3600 * hours / step_s)), dtype=np.float64) * step_s
    values = np.resize(features.values, (len(starts), features.width))
    times_s = np.stack([starts, starts + step_s], axis=1)
    return replace(features, values=values, times_s=times_s, duration_s=float(times_s[-1, 1]))


def _again(features: Features, tracks: Tracks, times: int) -> Features:
    shifts = np.arange(times) * features.duration_s
    numbers = np.arange(times, dtype=np.int32) * np.int32(len(tracks))
    many = Tracks(
        of_row=(numbers[:, None] + tracks.of_row).reshape(-1),
        boxes=np.tile(tracks.boxes, (times, 1)),
        lives_s=(shifts[:, None, None] + tracks.lives_s).reshape(-1, 2),
        continues=np.full(times * len(tracks), -1, np.int32),
        view_of=(numbers[:, None] + tracks.view_of).reshape(-1),
        views_s=(shifts[:, None] + tracks.views_s).reshape(-1),
        view_boxes=np.tile(tracks.view_boxes, (times, 1)),
    )
    times_s = (shifts[:, None, None] + features.times_s).reshape(-1, 2)
    order = np.argsort(times_s[:, 0], kind="stable")  # a row may reach a little beyond its video
    many = replace(many, of_row=many.of_row[order], boxes=many.boxes[order])
    values = np.tile(features.values, (times, 1))[order]
    return replace(features, values=values, times_s=times_s[order], duration_s=float(times * features.duration_s), tracks=many)
