"""The stages of a video: decoding and the backbone apart, and both at once as `wsra extract` runs them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from wsra.runtime.backbones.common.pipeline import Staged
from wsra.runtime.backbones.common.protocol import Backbone
from wsra.runtime.bench.timing import LapTimer
from wsra.runtime.errors import VideoError
from wsra.runtime.extraction.batch import AHEAD, stages
from wsra.runtime.extraction.gathering import Gathered, gather
from wsra.runtime.formats.features import Features
from wsra.runtime.prefetch import ahead
from wsra.runtime.video.frames import Frame, Video
from wsra.runtime.video.hardware import CPU
from wsra.runtime.video.opening import open_video


class TimedVideo:
    """The first seconds of a video, to be decoded and described again and again.

    `frames` and `seconds` tell, after a run, how much of it was decoded: frames, also those that no backbone reads, and seconds of video.
    `decoder` is what decodes: the decoder that was asked for, or why the CPU decodes instead. `stages` says, after `together`, how long the
    graph of the backbone waited; it is None if the backbone runs none.

    Args (constructor):
        path: the video.
        backbone: what makes features.
        snippet_s: length of a snippet in seconds.
        first_s: how much of the video, in seconds.
        decoder: see `open_video`.

    Raises:
        VideoError: it cannot be opened.
    """

    def __init__(self, path: Path, backbone: Backbone, *, snippet_s: float, first_s: float, decoder: str = CPU) -> None:
        self._path, self._backbone, self._snippet_s, self._first_s, self._asked = path, backbone, snippet_s, first_s, decoder
        self._rows: Gathered | None = None
        self.frames, self.seconds = 0, 0.0
        self.stages: str | None = None
        with self._open() as video:
            self.decoder = video.fallback or decoder

    def apart(self) -> Mapping[str, float]:
        """Seconds of the stages "decode" and "features", one waiting for the other."""
        self._let_overlap(False)
        watch = LapTimer()
        with watch.lap("decode"):
            video = self._open()
        with video, watch.lap("features"):
            self._rows = gather(self._backbone, self._decoded(video, watch), self._snippet_s)
            self.frames, self.seconds = video.decoded, min(video.end_s, self._first_s)
        return watch.seconds

    def together(self) -> Mapping[str, float]:
        """Seconds of the stage "extract": frames are decoded ahead in a thread of their own."""
        self._let_overlap(True)
        watch = LapTimer()
        with watch.lap("extract"), self._open() as video, closing(ahead(self._decoded(video, LapTimer()), AHEAD)) as frames:
            gather(self._backbone, frames, self._snippet_s)
        self.stages = stages(self._backbone)
        return watch.seconds

    def _let_overlap(self, overlaps: bool) -> None:
        if isinstance(self._backbone, Staged):
            self._backbone.overlaps = overlaps

    def features(self) -> Features:
        """Those of the last run.

        Raises:
            VideoError: the video is shorter than a snippet can be.
        """
        if self._rows is None or self.seconds <= 0 or (self._rows.tracks is None and not len(self._rows.values)):
            raise VideoError(f"{self._path}: its first {self._first_s:g} s hold no snippet; give a longer video, or a larger --seconds")
        rows = self._rows.until(self.seconds)
        return Features(rows.values, rows.times_s, self._path.name, self.seconds, self._backbone.id(self._snippet_s), {}, rows.tracks)

    def _open(self) -> Video:
        return open_video(self._path, self._backbone.reads_at(self._snippet_s), decoder=self._asked)

    def _decoded(self, video: Video, watch: LapTimer) -> Generator[Frame, None, None]:
        frames: Iterator[Frame] = video.frames()
        while True:
            with watch.lap("decode"):
                frame = next(frames, None)
            if frame is None or frame.time_s >= self._first_s:
                return
            yield frame
