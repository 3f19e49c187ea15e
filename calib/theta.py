"""theta: the logit at which a snippet, or the life of an object, is neutral about a sentence, calibrated from captions alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.errors import DataError

# Both were compared with others on development scenes: docs/measurements/training.md.
SHARE = 0.6  # share of the way from background to event
LIFE_SHARE = 0.1  # share of the way from other videos' sentences to own ones


def calibrate_theta(curves: Sequence[NDArray[np.floating]]) -> float:
    """Interpolate between the mean median and the mean maximum of the snippet logits over captioned videos.

    Most snippets of a video lie outside the event of its caption, so the median stands for background, the maximum for the event. No
    span is read. A theta from the queried video itself would make answers depend on how the video is cut.

    Args:
        curves: for each caption the (T,) snippet logits of its own video.

    Raises:
        DataError: there are no captions, or the scorer does not discriminate.
    """
    if not curves:
        raise DataError("theta cannot be calibrated without captions; validation captions are needed")
    background = float(np.mean([np.median(curve) for curve in curves]))
    event = float(np.mean([np.max(curve) for curve in curves]))
    if event - background < 1e-3:
        raise DataError(
            f"snippet logits hardly differ (median {background:.4f}, maximum {event:.4f}); the scorer does not discriminate: train longer"
        )
    return background + SHARE * (event - background)


def calibrate_lives(own: Sequence[float], others: Sequence[float]) -> float:
    """Interpolate between the scores of a video's best life for sentences of other videos and for its own.

    Lives are ranked without theta, which only decides whether there is an answer. Medians are used because a few sentences of other videos
    are also true of this one, and for a few own sentences the object was not tracked.

    Args:
        own: score of the best life for each caption of a video, with theta 0.
        others: the same for sentences of other videos.

    Raises:
        DataError: there are no captions, or the scorer does not discriminate.
    """
    if not own or not others:
        raise DataError("theta cannot be calibrated without validation captions of several videos in which something moves")
    event, background = float(np.median(own)), float(np.median(others))
    if event - background < 1e-3:
        raise DataError(
            f"the best life fits own sentences no better than other videos' (medians {event:.4f} and {background:.4f}); the scorer does"
            " not discriminate: train longer"
        )
    return background + LIFE_SHARE * (event - background)
