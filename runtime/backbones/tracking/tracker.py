"""Tracking: turns pieces of foreground, frame by frame, into tracks with rows, lives and views. It looks ahead by seconds at most.

A row is written once its track is known not to be noise and is linked to an earlier track, if any: rows are held back until a new track is
`DECIDE_S` old and has moved by half its own size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.association import assigned, shared_blobs, without_fragments
from wsra.runtime.backbones.tracking.blobs import Blob, Piece, described
from wsra.runtime.backbones.tracking.describe import WIDTH, numbers
from wsra.runtime.backbones.tracking.links import GAP_S, links
from wsra.runtime.backbones.tracking.rows import Row, RowStore
from wsra.runtime.backbones.tracking.tracks import Track, new_track
from wsra.runtime.backbones.tracking.views import Candidate, Onlooker, View, Views, size_of
from wsra.runtime.formats.tracks import Tracks
from wsra.runtime.video.frames import Frame

FRAME_S = 0.25  # usual time between frames
MOST_FRAME_S = 1.0  # limit for the time between frames; gaps in the video count no more
COAST_S, COAST_LEAVING_S = 1.3, 0.6  # how long an unseen track is kept
DECIDE_S = 2.0  # age at which a track is linked to an earlier one, or not
LEAST_SEEN, LEAST_MOVED = 3, 0.5  # observations; own widths or heights
SPEED_FROM_S = 1.5  # an older observation is not used for the speed


@dataclass(frozen=True)
class Objects:
    """All rows of a video.

    Attributes:
        values: (R, D) float16.
        times_s: (R, 2) float64 start and end of each row in seconds, sorted by start.
        tracks: the tracks of the rows.
        numbers: (N,) internal numbers of the tracks.
    """

    values: NDArray[np.float16]
    times_s: NDArray[np.float64]
    tracks: Tracks
    numbers: NDArray[np.int64]


class Tracker:
    """Tracks the objects before one camera, from the first frame of a video to the last.

    Args (constructor):
        tracks: tracks at the end of the previous file (`carried`).
        last_s: time of the last frame before this video; negative.
        onlooker: receives the views of tracks; may be None.
        labels: numbers in the label of a piece. Where there are any, pieces are of a detector: each is one thing, which is neither a
            fragment nor shared, and what never moves is followed, too.
    """

    def __init__(
        self, tracks: Iterable[Track] = (), last_s: float | None = None, onlooker: Onlooker | None = None, *, labels: int = 0
    ) -> None:
        self._onlooker = onlooker
        self._live: list[Track] = []
        self._ended: list[Track] = []  # tracks that a later one may continue
        for track in tracks:
            (self._live if not track.given_up else self._ended).append(track)
        self._next = 0
        for track in [*self._live, *self._ended]:
            track.number, self._next = self._next, self._next + 1
        self._carried = {track.number: track.continues for track in [*self._live, *self._ended]}
        self._detected = labels > 0
        self._store = RowStore(WIDTH + labels)
        self._lives: dict[int, tuple[float, float]] = {}
        self._views: dict[int, list[View]] = {}
        self._frames, self._last_s, self._frame_s = 0, last_s, FRAME_S

    def add(
        self,
        time_s: float,
        pieces: list[Piece],
        shape: tuple[int, ...],
        light: NDArray[np.float64] | None = None,
        frame: Frame | None = None,
    ) -> None:
        """Process one frame.

        Args:
            time_s: time of the frame, later than the previous one.
            pieces: pieces of its foreground, or from a detector, the largest first.
            shape: height and width of the frame in pixels.
            light: light of the scene, see `described`.
            frame: the frame itself, for the onlooker.
        """
        if self._last_s is not None:
            self._frame_s = min(max(time_s - self._last_s, FRAME_S), MOST_FRAME_S)
        self._last_s = time_s
        self._frames += 1
        self._end_those_not_seen(time_s)
        if not self._detected:
            pieces = without_fragments(pieces, self._live, time_s, shape)
        blobs = [described(piece, shape, light) for piece in pieces]
        given = assigned(self._live, blobs, time_s)
        shared = {} if self._detected else shared_blobs(self._live, blobs, time_s, given)
        followed = list(self._live)
        for number, (piece, blob) in enumerate(zip(pieces, blobs, strict=True)):
            if number in shared:
                for index in shared[number]:
                    followed[index].stay_within(time_s, blob)
                continue
            if number in given:
                track = followed[given[number]]
                track.see(time_s, blob)
            else:
                track = new_track(self._next, time_s, blob)
                self._next += 1
                self._live.append(track)
            self._look(track, time_s, piece, blob, blobs, frame)

    def _look(self, track: Track, time_s: float, piece: Piece, blob: Blob, blobs: Sequence[Blob], frame: Frame | None) -> None:
        """Keep a frame if it shows the track better than the earlier frames of the snippet."""
        size, onlooker = size_of(blob.area, cut=bool(blob.cut or blob.cut_top or blob.cut_bottom)), self._onlooker
        if onlooker is not None and frame is not None:
            size *= onlooker.clear(frame, blob, blobs)
        if track.candidate is None or size > track.candidate.size:
            crop = partial(onlooker.crop, frame, blob) if onlooker is not None and frame is not None else None
            track.candidate = Candidate(size, time_s, blob.box, piece.image, piece.mask, crop)

    def _end_those_not_seen(self, time_s: float) -> None:
        """End tracks that have not been seen for long; the limit is extended if frames are rarer than usual."""
        more_s = self._frame_s - FRAME_S
        kept = []
        for track in self._live:
            unseen_s = time_s - track.time_s - more_s
            leaving = unseen_s > COAST_LEAVING_S and not track.shared and track.is_leaving()
            if track.given_up or unseen_s > COAST_S or leaving:
                track.given_up = True
                self._ended.append(track)
            else:
                kept.append(track)
        self._live = kept

    def _settle(self, time_s: float, *, end: bool = False) -> None:
        """Link new tracks that have ended or are old enough (or all, at the end); release tracks that can no longer be continued."""
        open_tracks = [track for track in [*self._live, *self._ended] if not track.decided]
        due = {track.number for track in open_tracks if end or track.given_up or time_s - track.profile.first[0] >= DECIDE_S}
        if due:
            self._link(due)
        for track in [*self._live, *self._ended]:
            self._confirm(track)
        starts = [track.profile.first[0] for track in self._live if not track.decided]
        kept = []
        for track in self._ended:
            last_s = track.alone_s
            if not end and (time_s - last_s <= GAP_S or any(0 < start_s - last_s <= GAP_S for start_s in starts)):
                kept.append(track)
            else:
                self._note(track)
        self._ended = kept

    def _link(self, due: set[int]) -> None:
        """Decide the tracks with these numbers; the others take part, since they may be likelier to continue the same track."""
        open_tracks = [track for track in [*self._live, *self._ended] if not track.decided]
        while True:
            found = links([track for track in self._ended if track.decided], open_tracks)
            settled = next(((first, second) for first, second in found if second.number in due), None)
            if settled is None:
                break
            first, second = settled
            due.discard(second.number)
            second.decided = True
            second.go_on_from(first)
            self._ended = [track for track in self._ended if track is not first]
            open_tracks = [track for track in open_tracks if track is not second]
        for track in open_tracks:
            track.decided = track.decided or track.number in due

    def close_snippet(self, end_s: float = np.inf) -> None:
        """End a snippet at a time in seconds: add a row for each track that was seen in it alone."""
        self._describe(end_s)
        if self._last_s is not None:
            self._settle(self._last_s)

    def _describe(self, end_s: float = np.inf) -> None:
        for track in [*self._live, *self._ended]:
            if track.seen:
                track.held.append(self._row(track, end_s))
                track.before, track.seen = track.seen[-1], []
            if track.candidate is not None:
                track.views.add(track.candidate.view())
                track.candidate = None
        self._frames = 0

    def _row(self, track: Track, end_s: float) -> Row:
        first_s, last_s = track.seen[0][0], track.seen[-1][0]
        before = track.before if track.before is not None and first_s - track.before[0] <= SPEED_FROM_S else None
        box = np.mean([blob.box for _, blob in track.seen], axis=0)
        left, top, right, bottom = (float(side) for side in np.clip(box, 0.0, 1.0))
        values = numbers(track.seen, before, self._frames).astype(np.float16)
        return Row(values, first_s, min(last_s + self._frame_s, end_s), (left, top, right, bottom))

    def _confirm(self, track: Track) -> None:
        """Write the rows of a track once it is known not to be noise."""
        if not track.moves:
            far = self._detected or track.profile.moved() >= LEAST_MOVED
            track.moves = track.decided and track.profile.count >= LEAST_SEEN and far
        if track.moves and track.decided:
            for row in track.held:
                self._store.add(track.number, row)
            track.held.clear()

    def _note(self, track: Track) -> None:
        """Store the life and the views of a track that nothing continues."""
        if track.moves:
            start_s, end_s = track.profile.between()
            self._lives[track.number] = start_s, end_s + self._frame_s
            if self._onlooker is not None:
                self._onlooker.take(track.number, track.views.kept, end_s + self._frame_s - max(start_s, 0.0))
            self._views[track.number] = [replace(view, crop=None) for view in track.views.kept]

    def end_shot(self) -> None:
        """End all tracks, because another scene follows."""
        self._describe()
        for track in self._live:
            track.given_up = True
        self._ended += self._live
        self._live = []
        if self._last_s is not None:
            self._settle(self._last_s, end=True)

    def finish(self) -> tuple[Objects, list[Track]]:
        """End the video after its last snippet.

        Returns:
            All rows, and the tracks that may continue in the camera's next file, where they start without rows and views.
        """
        followed = [*self._live, *self._ended]
        self._link({track.number for track in followed if not track.decided})
        followed = [*self._live, *self._ended]
        for track in followed:
            self._confirm(track)
            self._note(track)
        values, times_s, boxes, numbers_of_rows = self._store.sorted()
        present, first_rows, of_row = np.unique(numbers_of_rows, return_index=True, return_inverse=True)
        order = np.argsort(first_rows)
        place = {int(present[index]): rank for rank, index in enumerate(order)}
        rank_of = np.argsort(order).astype(np.int32)
        tracks = self._tracks(place, rank_of[of_row], boxes, times_s)
        for track in followed:
            track.continues = place.get(track.number, -1)
            track.decided = track.moves  # the next file may show that it moves
            track.held.clear()
            track.views = Views()
        return Objects(values, times_s, tracks, np.array(list(place), np.int64)), followed

    def _tracks(self, place: dict[int, int], of_row: NDArray[np.int32], boxes: NDArray[np.float32], times_s: NDArray[np.float64]) -> Tracks:
        """All tracks with rows, in the order of their first rows."""
        starts, ends = np.full(len(place), np.inf), np.full(len(place), -np.inf)
        np.minimum.at(starts, of_row, times_s[:, 0])
        np.maximum.at(ends, of_row, times_s[:, 1])
        rows_s = np.stack([starts, ends], axis=1)
        lives_s = np.array([self._lives[number] for number in place], np.float64).reshape(-1, 2)
        lives_s = np.clip(lives_s, rows_s[:, :1], rows_s[:, 1:])  # the previous file and forgotten rows do not belong to this life
        lives_s = np.where(lives_s[:, 1:] > lives_s[:, :1], lives_s, rows_s)
        views = [(rank, view) for number, rank in place.items() for view in self._views[number]]
        return Tracks(
            of_row=of_row,
            boxes=boxes,
            lives_s=lives_s,
            continues=np.array([self._carried.get(number, -1) for number in place], np.int32),
            view_of=np.array([rank for rank, _ in views], np.int32),
            views_s=np.array([view.time_s for _, view in views], np.float64),
            view_boxes=np.array([view.box for _, view in views], np.float32).reshape(-1, 4),
        )
