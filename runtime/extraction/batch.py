"""Extraction of features from videos into .feat files, with any backbone, in batches that can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from wsra.runtime.backbones.common.pipeline import Staged
from wsra.runtime.backbones.common.protocol import BUILT_IN, Backbone
from wsra.runtime.backbones.registry import BackboneChoice, MotionBackbone
from wsra.runtime.errors import VideoError, WsraError
from wsra.runtime.extraction.gathering import gather
from wsra.runtime.extraction.provenance import is_current, provenance, refuse_others
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, usable_folder
from wsra.runtime.formats.features import Features, write_features
from wsra.runtime.formats.wallclock import start_of
from wsra.runtime.prefetch import ahead
from wsra.runtime.video.hardware import CPU
from wsra.runtime.video.opening import open_video
from wsra.runtime.workers.pool import Pool, ThisProcess

SecondsDone = Callable[[float, float | None], None]  # seconds done, and total seconds if known
AHEAD = 8  # frames decoded ahead of the backbone


def extract_features(
    path: Path | str,
    *,
    backbone: Backbone | None = None,
    snippet_s: float = 1.0,
    decoder: str = CPU,
    progress: SecondsDone | None = None,
) -> Features:
    """Extract the features of one video, streaming.

    Args:
        path: the video.
        backbone: backbone that makes them; None for the built-in `motion`.
        snippet_s: length of a snippet in seconds.
        decoder: see `open_video`.
        progress: called with the seconds done and the total.

    Returns:
        Features with one row per snippet that has a frame, or one row per object in each snippet; a gap in the video is a gap in
        `times_s`.

    Raises:
        VideoError: the video cannot be decoded.
        BackboneError: the output of the encoder differs from its JSON.
        MissingExtraError: PyAV, OpenCV or SciPy is not installed.
    """
    path, backbone = Path(path), backbone or MotionBackbone()
    video = open_video(path, backbone.reads_at(snippet_s), decoder=decoder)

    def seen(number: int) -> None:
        if progress is not None:
            progress((number + 1) * snippet_s, video.declared_s)

    with video, closing(ahead(video.frames(), AHEAD)) as frames:
        gathered = gather(backbone, frames, snippet_s, seen)
        end_s, damage = video.end_s, video.damage()
    rows = gathered.until(end_s)
    start = start_of(path, video.metadata, end_s)
    timing = {"snippet_s": f"{snippet_s:g}", "start_time": start.time, "start_time_source": start.source}
    extra = {**provenance(path, video.state), **timing}
    if decoder != CPU:
        extra["decoder"] = video.fallback or decoder
    if damage:
        extra["damage"] = damage
    return Features(rows.values, rows.times_s, path.name, end_s, backbone.id(snippet_s), extra, rows.tracks)


@dataclass(frozen=True)
class Extracted:
    """The result of one video of a batch.

    Attributes:
        video: the file.
        feat: its .feat file.
        kept: whether it existed already and is current.
        error: why there is none, or None.
        warning: a problem of the video that did not prevent the extraction, or None.
        stages: how long the graph of the backbone waited, in one line, or None if it runs none.
    """

    video: Path
    feat: Path
    kept: bool
    error: str | None
    warning: str | None = None
    stages: str | None = None


def feat_paths(videos: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """The .feat file of each video: `folder/NAME.feat`.

    Raises:
        VideoError: two videos would get the same file.
    """
    paths: dict[Path, Path] = {}
    for video in videos:
        feat = folder / f"{video.stem}.feat"
        if feat in paths.values():
            raise VideoError(f"{video}: another video of this batch has the name {video.stem}; extract them into different folders")
        paths[video] = feat
    return paths


@cache
def _loaded(choice: BackboneChoice) -> Backbone:
    """The backbone of this process."""
    return choice.load()


@dataclass(frozen=True)
class _Extraction:
    """The extraction of one video, as a task.

    Attributes:
        choice: the backbone.
        snippet_s: length of a snippet in seconds.
        decoder: see `open_video`.
        progress: called within each video, if all run in this process.
        mark: a file in the output folder that the worker must see, or None.
        overwrite: whether to replace features of another origin.
    """

    choice: BackboneChoice
    snippet_s: float
    decoder: str
    progress: SecondsDone | None
    mark: Path | None
    overwrite: bool

    def __call__(self, paths: tuple[Path, Path], /) -> Extracted:
        """Extract a video, unless its .feat file is current."""
        video, feat = paths
        backbone = _loaded(self.choice)
        try:
            refuse_existing(feat, overwrite=True)
            with one_file(video, VideoError), locked(feat, wait=True):
                return self._extract(video, feat, backbone)
        except WsraError as err:
            return Extracted(video, feat, False, str(err))

    def _extract(self, video: Path, feat: Path, backbone: Backbone) -> Extracted:
        if not self.overwrite:
            refuse_others(feat, backbone=backbone.id(self.snippet_s))
        if feat.exists() and video.is_file() and is_current(feat, video, backbone=backbone.id(self.snippet_s)):
            return Extracted(video, feat, True, None)
        features = extract_features(video, backbone=backbone, snippet_s=self.snippet_s, decoder=self.decoder, progress=self.progress)
        write_features(feat, features)
        return Extracted(video, feat, False, None, warning(features, self.decoder), stages(backbone))

    def reads(self, paths: tuple[Path, Path], /) -> Sequence[Path]:
        """The video, the mark in the output folder, and the encoder."""
        marks = [] if self.mark is None else [self.mark]
        return paths[0], *marks, *([] if self.choice.name == BUILT_IN else [Path(self.choice.name)])

    def lost(self, paths: tuple[Path, Path], reason: str, /) -> Extracted:
        """The result of a video that was not extracted."""
        return Extracted(*paths, False, f"{paths[0]}: {reason}")


def warning(features: Features, decoder: str) -> str | None:
    """The warning for features that were just extracted, or None."""
    fallback = features.extra.get("decoder", decoder)
    return "; ".join(text for text in (fallback if fallback != decoder else None, features.extra.get("damage")) if text) or None


def stages(backbone: Backbone) -> str | None:
    """How long the graph of a backbone waited in the video that it described last, in one line; None if it runs none."""
    return backbone.stages() if isinstance(backbone, Staged) else None


def extract_batch(
    videos: Sequence[Path],
    folder: Path,
    *,
    backbone: BackboneChoice | None = None,
    snippet_s: float = 1.0,
    pool: Pool | None = None,
    decoder: str = CPU,
    progress: SecondsDone | None = None,
    overwrite: bool = False,
) -> Iterator[Extracted]:
    """Extract many videos; current .feat files are kept, and a broken video does not stop the others.

    Args:
        videos: video files.
        folder: output folder of the .feat files.
        backbone: the backbone; None for the built-in `motion`. Every process loads it once; its number of threads defaults to the pool's
            threads per task.
        snippet_s: length of a snippet in seconds.
        pool: the pool that runs the extraction; None for this process.
        decoder: see `open_video`.
        progress: called within each video, if all run in this process.
        overwrite: whether to replace features of another backbone, snippet length or tool.

    Yields:
        One result per video, in order.

    Raises:
        OutputError: the folder cannot be written to.
        WsraError: the backbone cannot be loaded, or the pool cannot continue.
    """
    usable_folder(folder)
    choice, pool, paths = backbone or BackboneChoice(), pool or ThisProcess(), feat_paths(videos, folder)
    if not choice.run.threads:
        choice = replace(choice, run=replace(choice.run, threads=pool.threads))
    try:
        with _marked(folder, pool) as mark:
            work = _Extraction(choice, snippet_s, decoder, progress if pool.place == "process" else None, mark, overwrite)
            yield from pool.map(work, list(paths.items()))
    finally:
        _loaded.cache_clear()  # frees the memory of the encoder


@contextmanager
def _marked(folder: Path, pool: Pool) -> Iterator[Path | None]:
    """A file by which workers on other machines recognise this folder, since they may have another one of the same name."""
    if pool.place == "cluster":
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(prefix=".wsra-", dir=folder) as mark:
            yield Path(mark.name)
    else:
        yield None
