"""Sizes beyond which a file is taken for damaged or hostile; they are judged before memory is taken."""

from __future__ import annotations

MOST_S = 10 * 365.25 * 86_400  # ten years: of a video, a time in it or a true span
LEAST_S = 1e-3  # length of a video
PIXELS = 40_000_000  # of a decoded picture and of a shown one; 8K has 35 million
ASPECT = 32  # how much wider than high a picture is shown, or higher than wide; four cameras side by side make 7
WINDOWS = 1_000  # true spans of one query
WINDOWED_S = 5_000_000.0  # videos, all together, of which an evaluation of predictions ranks all windows of seconds
