"""The profile of a track in constant memory: its ends, its usual size and colours, and how far it moved."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.boxes import Box, centre, is_cut

MOST_SIZES = 256  # observations whose size is kept
OPENING, CLOSING = 6, 8  # observations at the start and at the end
MOST_STEPS = 90  # of the sizes at an edge: each differs by a tenth or more, and no area is below 1/5,000
_STEP = 1.1
_CUT = 0.01  # a box this close to the frame's edge is cut by it
_IN_VIEW = 0.33  # fraction of its usual area; with less in view at the frame's edge it has not arrived yet, or has left
_PACE_S = 1.6  # time over which the speed at the end is measured


@dataclass
class Sizes:
    """Area, width and height of every n-th observation; n doubles whenever there are too many.

    Attributes:
        stride: n, a power of two.
        skipped: observations since the last kept one.
        values: the kept observations.
    """

    stride: int = 1
    skipped: int = 0
    values: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, area: float, width: float, height: float) -> None:
        """Add one observation."""
        self.skipped += 1
        if self.skipped >= self.stride:
            self.values.append((area, width, height))
            self.skipped = 0
            self._thin()

    def extend(self, later: Sizes) -> None:
        """Append those of a track that continues this one."""
        values = list(later.values)
        stride = later.stride
        while self.stride < stride:
            self.values, self.stride = self.values[::2], self.stride * 2
        while stride < self.stride:
            values, stride = values[::2], stride * 2
        self.values += values
        self.skipped = later.skipped
        self._thin()

    def _thin(self) -> None:
        while len(self.values) > MOST_SIZES:
            self.values, self.stride = self.values[::2], self.stride * 2

    def usual(self) -> float:
        """The area that three quarters of the observations do not exceed."""
        return float(np.percentile([area for area, _, _ in self.values], 75))

    def median(self) -> tuple[float, float]:
        """Width and height."""
        width, height = np.median([size[1:] for size in self.values], axis=0)
        return float(width), float(height)


@dataclass
class Span:
    """When an object is in view, found without knowing its size in advance.

    Attributes:
        rising: (time, area) at the frame's edge before it was first seen whole, each larger than those before.
        whole: the first and the last time it was seen whole, or within a shared blob; None as long as it was not.
        falling: (time, area) at the edge since then, each smaller than those before.
    """

    rising: list[tuple[float, float]] = field(default_factory=list)
    whole: tuple[float, float] | None = None
    falling: list[tuple[float, float]] = field(default_factory=list)

    def see(self, time_s: float, area: float, *, cut: bool) -> None:
        """Add one observation."""
        if not cut:
            self.whole = (self.whole[0] if self.whole is not None else time_s, time_s)
            self.falling = []
            return
        if self.whole is None:
            self._rise(time_s, area)
        self._fall(time_s, area)

    def _rise(self, time_s: float, area: float) -> None:
        if (not self.rising or area >= _STEP * self.rising[-1][1]) and len(self.rising) < MOST_STEPS:
            self.rising.append((time_s, area))

    def _fall(self, time_s: float, area: float) -> None:
        while self.falling and self.falling[-1][1] <= area:
            self.falling.pop()
        if self.falling and (self.falling[-1][1] < _STEP * area or len(self.falling) == MOST_STEPS):
            area = self.falling.pop()[1]
        self.falling.append((time_s, area))

    def extend(self, later: Span) -> None:
        """Append that of a track that continues this one."""
        if self.whole is None:
            for time_s, area in later.rising:
                self._rise(time_s, area)
        if later.whole is not None:
            self.whole = (self.whole[0] if self.whole is not None else later.whole[0], later.whole[1])
            self.falling = []
        for time_s, area in later.falling:
            self._fall(time_s, area)

    def between(self, usual: float) -> tuple[float, float]:
        """The first and the last time at which it was whole, or a good part of it in view.

        Args:
            usual: its area, as a share of the picture.
        """
        needed = _IN_VIEW * usual
        starts = [time_s for time_s, area in self.rising if area >= needed][:1] + ([self.whole[0]] if self.whole is not None else [])
        ends = ([self.whole[1]] if self.whole is not None else []) + [time_s for time_s, area in self.falling if area >= needed]
        if not starts or not ends:
            return self.rising[0][0], self.falling[-1][0]
        return starts[0], max(ends)


@dataclass
class Profile:
    """The profile of a track so far.

    Attributes:
        first, last: (time, box, area) of the first and of the last observation that it shares with no other track.
        count: observations from the first to the last.
        alone: those of them that are not shared.
        colours: (3, 15) sum over those that are not shared.
        extent: least x, least y, most x, most y of the middle of its box.
        inner: (2, 4) least and most left, top, right and bottom, of boxes that the frame cuts opposite; least above most of none.
        sizes: of its boxes.
        span: when it is in view.
        opening: (area, x) of the first observations.
        closing: (time, area, x) of the last.
    """

    first: tuple[float, Box, float]
    last: tuple[float, Box, float]
    colours: NDArray[np.float64]
    count: int = 0
    alone: int = 0
    extent: Box = (np.inf, np.inf, -np.inf, -np.inf)
    inner: NDArray[np.float64] = field(default_factory=lambda: np.array([[1.0] * 4, [0.0] * 4]))
    sizes: Sizes = field(default_factory=Sizes)
    span: Span = field(default_factory=Span)
    opening: list[tuple[float, float]] = field(default_factory=list)
    closing: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=CLOSING))

    def see(self, time_s: float, box: Box, area: float, colours: NDArray[np.float32]) -> None:
        """Add an observation that no other track shares."""
        x, y = centre(box), (box[1] + box[3]) / 2
        self.last = (time_s, box, area)
        self.count += 1
        self.alone += 1
        self.colours += colours
        self.extent = (min(self.extent[0], x), min(self.extent[1], y), max(self.extent[2], x), max(self.extent[3], y))
        self._see_edges(box)
        self.sizes.add(area, box[2] - box[0], box[3] - box[1])
        self.span.see(time_s, area, cut=is_cut(box, _CUT))
        if len(self.opening) < OPENING:
            self.opening.append((area, x))
        self.closing.append((time_s, area, x))

    def _see_edges(self, box: Box) -> None:
        """The inner side of an object that enters over an edge of the frame moves long before its centre."""
        cut = np.array([box[2] >= 1 - _CUT, box[3] >= 1 - _CUT, box[0] <= _CUT, box[1] <= _CUT])
        if cut.any():
            self.inner[0, cut] = np.minimum(self.inner[0], box)[cut]
            self.inner[1, cut] = np.maximum(self.inner[1], box)[cut]

    def see_shared(self, times_s: tuple[float, float], count: int) -> None:
        """Take observations within a shared blob, from the first to the last time, once the track has come out of it."""
        self.count += count
        for time_s in times_s:
            self.span.see(time_s, 0.0, cut=False)

    def extend(self, later: Profile) -> None:
        """Append that of a track that continues this one."""
        least, most = np.minimum(self.extent, later.extent), np.maximum(self.extent, later.extent)
        self.extent = (float(least[0]), float(least[1]), float(most[2]), float(most[3]))
        self.inner = np.stack([np.minimum(self.inner[0], later.inner[0]), np.maximum(self.inner[1], later.inner[1])])
        self.last = later.last
        self.count += later.count
        self.alone += later.alone
        self.colours = self.colours + later.colours
        self.sizes.extend(later.sizes)
        self.span.extend(later.span)
        self.opening = (self.opening + later.opening)[:OPENING]
        self.closing.extend(later.closing)

    def moved(self) -> float:
        """How far it moved, in its own widths or heights: its centre, or its inner side if an edge of the frame cuts it."""
        width, height = self.sizes.median()
        left, top, right, bottom = self.inner[1] - self.inner[0]
        across, down = self.extent[2] - self.extent[0], self.extent[3] - self.extent[1]
        return float(max(max(across, left, right) / width, max(down, top, bottom) / height))

    def between(self) -> tuple[float, float]:
        """The first and the last time at which it is in view."""
        return self.span.between(self.sizes.usual())

    def mean_colours(self) -> NDArray[np.float64]:
        """(3, 15) over the observations that are not shared."""
        return self.colours / max(self.alone, 1)

    def pace(self) -> float:
        """Frame widths a second to the right, over the last observations."""
        recent = [(time_s, x) for time_s, _, x in self.closing if self.last[0] - time_s <= _PACE_S]
        if len(recent) <= 2:
            return 0.0
        return (recent[-1][1] - recent[0][1]) / max(0.5, recent[-1][0] - recent[0][0])

    def shift(self, by_s: float) -> None:
        """Shift its times to an origin that many seconds later."""
        self.first, self.last = (self.first[0] - by_s, *self.first[1:]), (self.last[0] - by_s, *self.last[1:])
        self.span.rising = [(time_s - by_s, area) for time_s, area in self.span.rising]
        self.span.falling = [(time_s - by_s, area) for time_s, area in self.span.falling]
        if self.span.whole is not None:
            self.span.whole = (self.span.whole[0] - by_s, self.span.whole[1] - by_s)
        self.closing = deque(((time_s - by_s, area, x) for time_s, area, x in self.closing), maxlen=CLOSING)


def begun(time_s: float, box: Box, area: float, colours: NDArray[np.float32]) -> Profile:
    """The profile of an object at its first observation."""
    profile = Profile((time_s, box, area), (time_s, box, area), np.zeros(colours.shape))
    profile.see(time_s, box, area, colours)
    return profile
