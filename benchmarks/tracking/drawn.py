"""Draws tracks over a video's frames for inspection: the box of each row, the number of its track, and its past path.

python benchmarks/tracking/drawn.py VIDEO PICTURE.png [--columns 4] [--count 12]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsra.runtime.backbones.tracking.motion import FRAMES_PER_S, HEIGHT_PX, object_rows
from wsra.runtime.backbones.tracking.tracker import Objects
from wsra.runtime.video.frames import Frame, Video

Image = NDArray[Any]
SCALE = 2
COLOURS = ((60, 60, 230), (60, 200, 60), (230, 120, 40), (40, 200, 230), (220, 60, 220), (200, 200, 40), (255, 255, 255), (20, 120, 255))


def drawn(frame: Frame, objects: Objects) -> Image:
    """Draw the rows of its time into a frame."""
    image = cv2.resize(frame.image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    size = np.array([image.shape[1], image.shape[0]] * 2)
    tracks = objects.tracks
    for row in np.flatnonzero((objects.times_s[:, 0] <= frame.time_s) & (objects.times_s[:, 1] > frame.time_s)):
        track = int(tracks.of_row[row])
        colour = COLOURS[track % len(COLOURS)]
        left, top, right, bottom = (int(side) for side in tracks.boxes[row] * size)
        cv2.rectangle(image, (left, top), (right, bottom), colour, 2)
        start_s, end_s = tracks.lives_s[track]
        cv2.putText(
            image, f"{track}: {start_s:.1f}-{end_s:.1f} s", (left, max(12, top - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA
        )
        earlier = tracks.boxes[(tracks.of_row == track) & (objects.times_s[:, 0] <= frame.time_s)]
        feet = np.stack([(earlier[:, 0] + earlier[:, 2]) / 2, earlier[:, 3]], axis=1) * size[:2]
        cv2.polylines(image, [feet.astype(np.int32)], False, colour, 1, cv2.LINE_AA)
    _write(image, f"{frame.time_s:.2f} s", (6, image.shape[0] - 8), (0, 255, 255))
    return image


def _write(image: Image, text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


def main() -> int:
    """Draw the picture; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--count", type=int, default=12, help="number of frames, evenly spaced over the times of tracks")
    given = parser.parse_args()
    with Video(given.video, height_px=HEIGHT_PX, frames_per_s=FRAMES_PER_S) as video:
        frames = list(video.frames())
    objects = object_rows(iter(frames), 1.0)
    busy = [frame for frame in frames if ((objects.times_s[:, 0] <= frame.time_s) & (objects.times_s[:, 1] > frame.time_s)).any()]
    if not busy:
        print("nothing moves", file=sys.stderr)
        return 1
    chosen = [drawn(busy[int(at)], objects) for at in np.linspace(0, len(busy) - 1, given.count)]
    chosen += [np.zeros_like(chosen[0])] * (-len(chosen) % given.columns)
    rows = [np.hstack(chosen[at : at + given.columns]) for at in range(0, len(chosen), given.columns)]
    cv2.imwrite(str(given.picture), np.vstack(rows))
    print(f"{given.picture}: {len(objects.tracks)} tracks, {len(objects.times_s)} rows in {frames[-1].time_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
