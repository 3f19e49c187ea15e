"""When each decoded frame is displayed: seconds after the first frame, from presentation timestamps if there are any."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

RESET_S = 1.0  # timestamps that jump back by more than this have been reset
_INDEXED = ("mov", "matroska")  # their files have an index of key frames, and one clock
_ASSUMED_STEP_S = 1 / 25


class Stamps:
    """Times of the frames of one stream, in decoding order.

    A frame without a timestamp follows the previous frame after the length of that frame. `resets` counts how often timestamps were reset.

    Args (constructor):
        format_name: of the container.
        origin_s: the timestamp of the first frame of the stream, where decoding begins at a later one.
    """

    def __init__(self, format_name: str, *, origin_s: float | None = None) -> None:
        self._in_file_order = format_name == "avi"  # AVI has an order but no presentation timestamps; FFmpeg's guesses jump with B-frames
        self.resets = 0
        self._origin_s = origin_s
        self._last_s = -1.0
        self._step_s = _ASSUMED_STEP_S

    @property
    def end_s(self) -> float:
        """End of the newest frame, in seconds."""
        return self._last_s + self._step_s

    @property
    def assumed_per_s(self) -> float | None:
        """The assumed frames per second, if no frame so far had a timestamp."""
        return 1 / self._step_s if self._origin_s is None and self._last_s >= 0 else None

    def time_s(self, frame: Any) -> float | None:
        """Seconds after the first frame at which a frame is displayed; None if that is not after the previous frame."""
        base = float(frame.time_base or 0)
        ticks = next((t for t in ((frame.dts,) if self._in_file_order else (frame.pts, frame.dts)) if t is not None), None)
        length_s = float(frame.duration or 0) * base
        if ticks is None or not base:
            return self._follow(length_s)
        shown_s = float(ticks * frame.time_base)
        self._origin_s = shown_s if self._origin_s is None else self._origin_s
        if shown_s - self._origin_s < self._last_s - RESET_S:  # timestamps were reset, as where two recordings were joined
            self._origin_s = shown_s - self._last_s - self._step_s
            self.resets += 1
        time_s = shown_s - self._origin_s
        if time_s <= self._last_s:
            return None
        if length_s:
            self._step_s = length_s
        elif self._last_s >= 0:
            self._step_s = min(time_s - self._last_s, 1.0)
        self._last_s = time_s
        return time_s

    def _follow(self, length_s: float) -> float:
        time_s = self.end_s if self._last_s >= 0 else 0.0
        self._step_s = length_s or self._step_s
        self._last_s = time_s
        return time_s


def is_indexed(container: Any) -> bool:
    """Whether a container has an index of its key frames and one clock: MP4 and Matroska."""
    return bool(container.format.name.startswith(_INDEXED))


def first_stamp_s(container: Any, stream: Any) -> float | None:
    """The timestamp of the first frame in seconds, by which all times count; the container is read from its start then.

    Returns:
        None of a container that is none of these with an index of key frames and one clock, and of a stream without timestamps.
    """
    return first_shown_s(container, stream, "pts") if is_indexed(container) else None


def first_shown_s(container: Any, stream: Any, stamp: str) -> float | None:
    """A stamp, "pts" or "dts", of the first frame that is shown, in seconds; None if it has none. Then the container is at its start."""
    import av

    first = None
    container.seek(0)
    for packet in container.demux(stream):
        with suppress(av.FFmpegError):
            first = next(((getattr(frame, stamp), frame.time_base) for frame in packet.decode() if getattr(frame, stamp) is not None), None)
        if first is not None:
            break
    container.seek(0)
    return None if first is None else float(first[0] * first[1])
