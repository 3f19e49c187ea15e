"""What a bundle knows about presence: how often moments of each presence score are false, and how likely they are true."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

REFERENCE = "presence.safetensors"  # of a bundle: the keys from which the level of a sentence is read
KEYS = "keys"  # the tensor in it
POINTS = 64  # of the table at most
Source = Literal["captions", "rendered scenes", "labels"]


@dataclass(frozen=True)
class Presence:
    """The section `presence` of a manifest, fitted by `wsra.calib.presence`; `wsra.runtime.grounding.presence` reads it.

    Attributes:
        source: what it was calibrated on: captions of validation videos; captions of rendered scenes, where there is no training; labels.
        hours: of video that were searched for sentences that are not true of it, all sentences together.
        slope: of the logit of the confidence over the presence score; above 0.
        intercept: of the logit, for one hour of video.
        scores: presence scores, ascending.
        rates: how many moments of each score or more an hour of video gives for a sentence that is not true of it; descending.
        tail: by how much the natural logarithm of the rate falls per unit of score beyond the last score; above 0.
    """

    source: Source
    hours: float
    slope: float
    intercept: float
    scores: list[float]
    rates: list[float]
    tail: float


def check_presence(presence: Presence) -> None:
    """Check the ranges of the values; that they are finite is part of their type.

    Raises:
        ValueError: a value is wrong; the message names it and what was expected.
    """
    for name in ("hours", "slope", "tail"):
        if not getattr(presence, name) > 0:
            raise ValueError(f"presence.{name} is {getattr(presence, name)}; expected a number above 0")
    scores, rates = presence.scores, presence.rates
    if not (2 <= len(scores) <= POINTS and len(rates) == len(scores)):
        raise ValueError(f"presence has {len(scores)} scores and {len(rates)} rates; expected as many of both, 2 to {POINTS}")
    if not all(earlier < later for earlier, later in pairwise(scores)):
        raise ValueError("presence.scores do not ascend; expected each above the one before")
    if not (all(earlier > later for earlier, later in pairwise(rates)) and rates[-1] > 0):
        raise ValueError("presence.rates do not descend to a number above 0; expected each below the one before")
