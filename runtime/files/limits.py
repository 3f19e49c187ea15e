"""Limits beyond which a file counts as damaged or hostile; they are checked before memory is allocated."""

from __future__ import annotations

MOST_S = 10 * 365.25 * 86_400  # ten years; the limit for a video, a time in it and a true span
LEAST_S = 1e-3  # the shortest video
PIXELS = 40_000_000  # of a picture as decoded and as displayed; 8K has 35 million
ASPECT = 32  # longest side of a displayed picture over the shortest; four cameras side by side make 7
WINDOWS = 1_000  # true spans per query
WINDOWED_S = 5_000_000.0  # total length of the videos for which an evaluation of predictions ranks all windows of whole seconds
