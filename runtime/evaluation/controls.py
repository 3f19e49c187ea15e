"""The controls of a result: windows that chance draws from, windows that fit the timing alone, sentences of other videos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import DataError
from wsra.runtime.evaluation.metrics import ON_THRESHOLD
from wsra.runtime.formats.annotations import Annotation
from wsra.runtime.formats.features import Features
from wsra.runtime.grounding.lives import Lives
from wsra.runtime.grounding.recording import recording_of
from wsra.runtime.spans.moments import best_iou
from wsra.runtime.spans.windows import PlanName, Timeline, planned_positions, relative_windows, segments_within

Array = NDArray[np.float64]
FITTED_IOU = 0.5


def plan_windows(plan: PlanName, duration_s: float, times_s: Array) -> Array:
    """The windows of a plan in seconds, whether or not the snippets cover them.

    Args:
        plan: its name.
        duration_s: of the video.
        times_s: (T, 2) of its snippets, for `seconds`.

    Returns:
        (N, 2).
    """
    if plan == "relative":
        return relative_windows(duration_s)
    if plan == "segments":
        return segments_within(duration_s)
    timeline = Timeline(times_s)
    positions = planned_positions(plan, timeline, times_s, duration_s)
    return np.stack(timeline.seconds(positions[:, 0], positions[:, 1]), axis=1)


def lives_of(features: Features) -> Lives:
    """The lives of a video's objects, the candidates of the plan `tracks`.

    Raises:
        DataError: its features are of snippets.
    """
    lives = recording_of(features).lives
    if lives is None:
        raise DataError(f"{features.video}: features of snippets, which have no lives; expected features of objects: extract it anew")
    return lives


def fixed_windows(truths: Sequence[Array], durations_s: Sequence[float], *, count: int = 5, step: float = 0.02) -> Array:
    """Windows, as shares of the video, that hit most of the given spans at IoU 0.5, whatever the sentence says.

    The first hits most; each further one hits most of what those before it miss.

    Args:
        truths: per query (M, 2) seconds.
        durations_s: per query, of its video.
        count: how many windows.
        step: of the grid of starts and ends.

    Returns:
        (count, 2) shares; fewer rows once every span is hit.
    """
    edges = np.arange(0, 1 + step / 2, step)
    candidates = np.array([(start, end) for start in edges for end in edges if end > start])
    hits = np.array(
        [best_iou(candidates * length_s, truth) >= FITTED_IOU - ON_THRESHOLD for truth, length_s in zip(truths, durations_s, strict=True)]
    )
    chosen: list[int] = []
    while len(chosen) < count and len(hits):
        chosen.append(int(np.argmax(hits.sum(axis=0))))
        hits = hits[~hits[:, chosen[-1]]]
    return candidates[chosen]


def of_other_videos(annotations: Sequence[Annotation], *, seed: int) -> list[int] | None:
    """For each query the number of a query of another video, drawn evenly; none where all are of one video."""
    rng = np.random.default_rng(seed)
    names = {vid: number for number, vid in enumerate(dict.fromkeys(a.vid for a in annotations))}
    if len(names) < 2:
        return None
    videos = np.array([names[a.vid] for a in annotations])
    return [int(others[rng.integers(len(others))]) for others in (np.flatnonzero(videos != own) for own in videos)]
