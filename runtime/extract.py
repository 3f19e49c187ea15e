"""Videos to .feat files: any backbone, presentation times, a batch that resumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from wsra.runtime.archive.provenance import is_current, provenance, refuse_foreign
from wsra.runtime.backbones.registry import Backbone, BackboneChoice, MotionBackbone
from wsra.runtime.errors import VideoError, WsraError
from wsra.runtime.features import Features, write_features
from wsra.runtime.files import usable_folder
from wsra.runtime.video.ahead import ahead
from wsra.runtime.video.frames import Video
from wsra.runtime.video.hardware import CPU
from wsra.runtime.video.wallclock import start_of

Progress = Callable[[float, float | None], None]  # seconds done, seconds in all where known
AHEAD = 8  # frames that are decoded ahead of the backbone


def extract_features(
    path: Path | str,
    *,
    backbone: Backbone | None = None,
    snippet_s: float = 1.0,
    decoder: str = CPU,
    progress: Progress | None = None,
) -> Features:
    """Extract the features of one video, streaming.

    Args:
        path: the video.
        backbone: what makes them; None for the built-in `motion`.
        snippet_s: length of a snippet in seconds.
        decoder: as for `Video`.
        progress: called with seconds done and in all.

    Returns:
        Features with one row per snippet in which a frame was shown; a gap in the video is a gap in `times_s`.

    Raises:
        VideoError: the video cannot be decoded.
        BackboneError: the encoder gives something else than its JSON says.
        MissingExtraError: PyAV or OpenCV is not installed.
    """
    path, backbone = Path(path), backbone or MotionBackbone()
    height_px, frames_per_s = backbone.reads_at(snippet_s)
    rows, numbers = bytearray(), []  # grows in place; a list of rows would be copied to be joined
    video = Video(path, height_px=height_px, frames_per_s=frames_per_s, decoder=decoder)
    with video, closing(ahead(video.frames(), AHEAD)) as frames:
        for number, row in backbone.features(frames, snippet_s):
            rows += row.tobytes()
            numbers.append(number)
            if progress is not None:
                progress((number + 1) * snippet_s, video.declared_s)
        end_s, damage = video.end_s, video.damage()
    starts = np.array(numbers, np.float64) * snippet_s
    times = np.stack([starts, np.minimum(starts + snippet_s, end_s)], axis=1)
    start = start_of(path, video.metadata, end_s)
    told = {"snippet_s": f"{snippet_s:g}", "start_time": start.time, "start_time_source": start.source}
    extra = {**provenance(path, video.state), **told}
    if decoder != CPU:
        extra["decoder"] = video.fallback or decoder
    if damage:
        extra["damage"] = damage
    values = np.frombuffer(rows, np.float32).reshape(len(numbers), -1)
    return Features(values, times, path.name, end_s, backbone.id(snippet_s), extra)


@dataclass(frozen=True)
class Extracted:
    """What became of one video of a batch.

    Attributes:
        video: the file.
        feat: its .feat file.
        kept: True when that was there already.
        error: why there is none, or None.
        warning: what is wrong with the video although it was extracted, or None.
    """

    video: Path
    feat: Path
    kept: bool
    error: str | None
    warning: str | None = None


def feat_paths(videos: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where each video's features go: `folder/NAME.feat`.

    Raises:
        VideoError: two videos would share a name.
    """
    paths: dict[Path, Path] = {}
    for video in videos:
        feat = folder / f"{video.stem}.feat"
        if feat in paths.values():
            raise VideoError(f"{video}: another video of this batch has the name {video.stem}; extract them into different folders")
        paths[video] = feat
    return paths


@dataclass(frozen=True)
class _Job:
    video: Path
    feat: Path
    snippet_s: float
    choice: BackboneChoice
    decoder: str


@cache
def _loaded(choice: BackboneChoice) -> Backbone:
    """The backbone of this process."""
    return choice.load()


def _extract(job: _Job, progress: Progress | None = None) -> Extracted:
    try:
        refuse_foreign(job.feat)
        backbone = _loaded(job.choice)
        if job.feat.exists() and job.video.is_file() and is_current(job.feat, job.video, backbone=backbone.id(job.snippet_s)):
            return Extracted(job.video, job.feat, True, None)
        features = extract_features(job.video, backbone=backbone, snippet_s=job.snippet_s, decoder=job.decoder, progress=progress)
        write_features(job.feat, features)
    except (WsraError, OSError) as err:  # OSError: a recorder that deletes its oldest files, a disk that fails
        return Extracted(job.video, job.feat, False, told_of(err, job.video))
    return Extracted(job.video, job.feat, False, None, warning(features, job.decoder))


def told_of(err: WsraError | OSError, video: Path) -> str:
    """Why a video was not extracted, in one line."""
    if isinstance(err, WsraError):
        return str(err)
    return f"{video}: cannot be read to its end ({err.strerror or err}); was it deleted or replaced meanwhile?"


def warning(features: Features, decoder: str) -> str | None:
    """What is to be said of features that were just extracted, or None."""
    fallback = features.extra.get("decoder", decoder)
    return "; ".join(told for told in (fallback if fallback != decoder else None, features.extra.get("damage")) if told) or None


def extract_batch(
    videos: Sequence[Path],
    folder: Path,
    *,
    backbone: BackboneChoice | None = None,
    snippet_s: float = 1.0,
    jobs: int = 1,
    decoder: str = CPU,
    progress: Progress | None = None,
) -> Iterator[Extracted]:
    """Extract many videos; those whose .feat file is current are left alone, and a broken one does not stop the rest.

    Args:
        videos: files.
        folder: gets the .feat files.
        backbone: what makes the features; None for the built-in `motion`. Every process loads it once; where it does not say how many
            threads it takes, they share the processors.
        snippet_s: length of a snippet in seconds.
        jobs: processes.
        decoder: as for `Video`.
        progress: called within each video, where one process does it all.

    Yields:
        One result per video, in their order.

    Raises:
        OutputError: the folder cannot be written to.
        WsraError: the backbone cannot be loaded, or a process was killed.
    """
    usable_folder(folder)
    choice, paths = backbone or BackboneChoice(), feat_paths(videos, folder)
    jobs = min(jobs, len(paths))
    if jobs > 1 and not choice.threads:
        choice = replace(choice, threads=max(1, (os.cpu_count() or 1) // jobs))
    work = [_Job(video, feat, snippet_s, choice, decoder) for video, feat in paths.items()]
    if jobs > 1:
        choice.load()  # what is wrong with it is said here, once
        try:
            with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                yield from pool.map(_extract, work)
        except BrokenProcessPool as err:
            raise WsraError(
                f"one of the {jobs} processes was killed, most often for memory; what is complete is kept: run it again with fewer --jobs"
            ) from err
        return
    _loaded(choice)
    try:
        yield from (_extract(job, progress) for job in work)
    finally:
        _loaded.cache_clear()  # the encoder's memory is free again
