"""One tracked object over time: its expected position, size and colours, and its rows and views for the file."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.blobs import Blob
from wsra.runtime.backbones.tracking.boxes import Box, centre
from wsra.runtime.backbones.tracking.profile import Profile, begun
from wsra.runtime.backbones.tracking.rows import Row
from wsra.runtime.backbones.tracking.views import Candidate, Views

HELD_ROWS = 120  # rows kept for a track that has not moved yet; older ones are dropped
_AHEAD_S = 1.5  # an unseen track is expected to keep moving for this long
_EDGE = 0.015  # fraction of the frame; anything this close is at its edge
_SMALL = 0.6  # fraction of the usual area; less is small
_OUTWARD = 0.02  # frame widths per second; faster means on its way out


@dataclass
class Track:
    """One object as tracked so far.

    Attributes:
        number: number of the track; a track that continues after a gap takes the number of the earlier one.
        box, time_s: the last position, even inside a shared blob, and its time.
        shared: whether it was last seen inside a blob with other tracks.
        speed: frame widths per second to the right, frame heights per second downwards.
        size: usual width and height.
        area: usual share of the picture.
        colours: (3, 15) usual colours.
        label: (L,) usual label; none without a detector.
        alone: number of observations that are not shared.
        profile: profile over its whole life.
        waiting: first and last time, and number, of the observations within a shared blob it has not come out of.
        views: its best views in this file.
        held: rows that are not written yet because it has not moved.
        decided: whether it has been decided which track it continues, if any.
        moves: whether it has moved, so that its rows are written.
        given_up: whether it was inside a shared blob for so long that it has presumably left.
        seen: (time, blob) of the current snippet.
        before: the last (time, blob) of an earlier snippet, where speed is measured from.
        candidate: the best view of the current snippet.
        continues: number of the track in the previous file, or -1.
    """

    number: int
    box: Box
    time_s: float
    size: tuple[float, float]
    area: float
    colours: NDArray[np.float64]
    profile: Profile
    label: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    shared: bool = False
    speed: tuple[float, float] = (0.0, 0.0)
    alone: int = 1
    waiting: tuple[float, float, int] | None = None
    views: Views = field(default_factory=Views)
    held: deque[Row] = field(default_factory=lambda: deque(maxlen=HELD_ROWS))
    decided: bool = False
    moves: bool = False
    given_up: bool = False
    seen: list[tuple[float, Blob]] = field(default_factory=list)
    before: tuple[float, Blob] | None = None
    candidate: Candidate | None = None
    continues: int = -1

    @property
    def alone_s(self) -> float:
        """When it was last seen alone."""
        return self.profile.last[0]

    def predicted(self, time_s: float) -> Box:
        """Its expected box."""
        ahead_s = min(time_s - self.time_s, _AHEAD_S)
        x, foot = centre(self.box) + self.speed[0] * ahead_s, self.box[3] + self.speed[1] * ahead_s
        return x - self.size[0] / 2, foot - self.size[1], x + self.size[0] / 2, foot

    def see(self, time_s: float, blob: Blob) -> None:
        """Add an observation in which it is alone."""
        self._move(time_s, blob.box)
        self.box, self.time_s, self.shared = blob.box, time_s, False
        self.alone += 1
        weight = 0.15 if self.alone > 4 else 1 / self.alone
        self.colours = (1 - weight) * self.colours + weight * blob.colours
        self.label = (1 - weight) * self.label + weight * blob.label
        self.area += weight * (blob.area - self.area)
        weight = 0.3 if self.alone > 2 else 1 / self.alone
        width, height = blob.box[2] - blob.box[0], blob.box[3] - blob.box[1]
        self.size = self.size[0] + weight * (width - self.size[0]), self.size[1] + weight * (height - self.size[1])
        if self.waiting is not None:
            self.profile.see_shared(self.waiting[:2], self.waiting[2])
            self.waiting = None
        self.profile.see(time_s, blob.box, blob.area, blob.colours)
        self.seen.append((time_s, blob))

    def _move(self, time_s: float, box: Box) -> None:
        """Positions inside a shared blob are guesses, from which no speed is measured."""
        if self.shared:
            return
        elapsed_s = max(time_s - self.time_s, 0.2)
        right, down = (centre(box) - centre(self.box)) / elapsed_s, (box[3] - self.box[3]) / elapsed_s
        old = 0.5 if self.alone > 1 else 0.0
        self.speed = old * self.speed[0] + (1 - old) * right, old * self.speed[1] + (1 - old) * down

    def stay_within(self, time_s: float, blob: Blob) -> None:
        """Add an observation inside a shared blob; it stays at its expected position, limited to the blob."""
        left, top, right, bottom = self.predicted(time_s)
        wide, high = right - left, bottom - top
        half, room = min(wide, blob.box[2] - blob.box[0]) / 2, min(high, blob.box[3] - blob.box[1])
        x = min(max((left + right) / 2, blob.box[0] + half), blob.box[2] - half)
        foot = min(max(bottom, blob.box[1] + room), blob.box[3])
        elapsed_s = max(time_s - self.time_s, 0.2)
        right, down = (x - centre(self.box)) / elapsed_s, (foot - self.box[3]) / elapsed_s
        self.speed = (self.speed[0] + right) / 2, (self.speed[1] + down) / 2  # people who meet may stop, and the blob with them
        self.box, self.time_s, self.shared = (x - wide / 2, foot - high, x + wide / 2, foot), time_s, True
        first_s, _, count = self.waiting or (time_s, time_s, 0)
        self.waiting = first_s, time_s, count + 1

    def is_leaving(self) -> bool:
        """Whether it was last seen alone at the frame's edge, on its way out or with less of it in view than usual."""
        _, box, area = self.profile.last
        return _at_edge(box, self.speed[0], small=area < _SMALL * self.profile.sizes.usual())

    def is_entering(self) -> bool:
        """Whether it was first seen at the frame's edge, on its way in or with less of it in view than usual."""
        _, box, area = self.profile.first
        first = [x for _, x in self.profile.opening[:4]]
        return _at_edge(box, first[0] - first[-1], small=area < _SMALL * self.profile.sizes.usual())

    def go_on_from(self, earlier: Track) -> None:
        """Merge with an earlier track that has ended."""
        earlier.profile.extend(self.profile)
        self.profile = earlier.profile
        earlier.views.extend(self.views)
        self.views = earlier.views
        self.held = deque([*earlier.held, *self.held], maxlen=HELD_ROWS)
        self.number, self.moves = earlier.number, earlier.moves

    def shift(self, by_s: float) -> None:
        """Shift its times to an origin that many seconds later."""
        self.time_s -= by_s
        self.profile.shift(by_s)
        if self.waiting is not None:
            self.waiting = self.waiting[0] - by_s, self.waiting[1] - by_s, self.waiting[2]
        if self.before is not None:
            self.before = self.before[0] - by_s, self.before[1]


def _at_edge(box: Box, outward: float, *, small: bool) -> bool:
    """Whether a box is at the edge of the frame and moves there, or is small; `outward` is the speed to the right."""
    if (box[0] <= _EDGE and (small or outward < -_OUTWARD)) or (box[2] >= 1 - _EDGE and (small or outward > _OUTWARD)):
        return True
    return small and (box[1] <= _EDGE or box[3] >= 1 - _EDGE)


def new_track(number: int, time_s: float, blob: Blob) -> Track:
    """A new track from a blob."""
    size = blob.box[2] - blob.box[0], blob.box[3] - blob.box[1]
    profile = begun(time_s, blob.box, blob.area, blob.colours)
    colours, label = blob.colours.astype(np.float64), blob.label.astype(np.float64)
    return Track(number, blob.box, time_s, size, blob.area, colours, profile, label, seen=[(time_s, blob)])
