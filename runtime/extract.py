"""Videos to .feat files: one backbone, presentation times, a batch that resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsra.runtime.ahead import ahead
from wsra.runtime.errors import FeatureError, MissingExtraError, OutputError, VideoError, WsraError
from wsra.runtime.features import Features, read_features, write_features
from wsra.runtime.files import sha256_of
from wsra.runtime.video import Video
from wsra.runtime.wallclock import start_of

if TYPE_CHECKING:
    from wsra.runtime.camera import Camera

Progress = Callable[[float, float | None], None]  # seconds done, seconds in all where known


# Counted up whenever a number of the features changes (tests/runtime/test_motion.py pins some), so that old and new never mix.
BACKBONE = "motion-1"
AHEAD = 8  # frames that are decoded ahead of the backbone


def backbone_id(snippet_s: float) -> str:
    """Name of the built-in backbone with what its numbers depend on, as a .feat file and a manifest carry it."""
    return f"{BACKBONE}@{snippet_s:g}s"


def extract_features(
    path: Path | str, *, snippet_s: float = 1.0, progress: Progress | None = None, camera: Camera | None = None
) -> Features:
    """Extract the `motion` features of one video, streaming.

    Args:
        path: the video.
        snippet_s: length of a snippet in seconds.
        progress: called with seconds done and in all.
        camera: its state at the end of the file before; afterwards its state at the end of this one (`runtime/recording.py`).

    Returns:
        Features with one row per snippet in which a frame was shown; a gap in the video is a gap in `times_s`.

    Raises:
        VideoError: the video cannot be decoded.
        MissingExtraError: PyAV or OpenCV is not installed.
    """
    try:
        from wsra.runtime.motion import FRAMES_PER_S, HEIGHT_PX, motion_features
    except ImportError as err:
        raise MissingExtraError("OpenCV", "video", f"extracting {path}") from err

    path = Path(path)
    rows, numbers = bytearray(), []  # grows in place; a list of rows would be copied to be joined
    video = Video(path, height_px=HEIGHT_PX, frames_per_s=max(FRAMES_PER_S, 1.0 / snippet_s))
    with video, closing(ahead(video.frames(), AHEAD)) as frames:
        for number, row in motion_features(frames, snippet_s, camera):
            rows += row.tobytes()
            numbers.append(number)
            if progress is not None:
                progress((number + 1) * snippet_s, video.declared_s)
        end_s, damage = video.end_s, video.damage()
    if camera is not None:
        camera.last_s -= end_s  # seen from the next file
    starts = np.array(numbers, np.float64) * snippet_s
    times = np.stack([starts, np.minimum(starts + snippet_s, end_s)], axis=1)
    start = start_of(path, video.metadata, end_s)
    extra = {"source_sha256": sha256_of(path), "snippet_s": f"{snippet_s:g}", "start_time": start.time, "start_time_source": start.source}
    if video.changed():
        extra["source_sha256"] = ""  # of what was read it is not: extracted again next time
    if damage:
        extra["damage"] = damage
    values = np.frombuffer(rows, np.float32).reshape(len(numbers), -1)
    return Features(values, times, path.name, end_s, backbone_id(snippet_s), extra)


def refuse_foreign(feat: Path) -> None:
    """Stop before features that something else made would be replaced.

    Raises:
        OutputError: the file is a .feat file that wsra extract did not write.
    """
    try:
        features = read_features(feat)
    except FeatureError:
        return
    if not features.backbone.startswith("motion-") or "source_sha256" not in features.extra:
        raise OutputError(f"{feat}: features of {features.backbone}, not of wsra extract; they are kept: move them, or extract elsewhere")


def is_current(feat: Path, video: Path, *, snippet_s: float) -> bool:
    """Whether a .feat file is complete and was made of this very video with this backbone."""
    try:
        features = read_features(feat)
    except FeatureError:
        return False
    return features.backbone == backbone_id(snippet_s) and features.extra.get("source_sha256") == sha256_of(video)


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


def _extract(job: tuple[Path, Path, float], progress: Progress | None = None) -> Extracted:
    video, feat, snippet_s = job
    try:
        refuse_foreign(feat)
        if feat.exists() and video.is_file() and is_current(feat, video, snippet_s=snippet_s):
            return Extracted(video, feat, True, None)
        features = extract_features(video, snippet_s=snippet_s, progress=progress)
        write_features(feat, features)
    except WsraError as err:
        return Extracted(video, feat, False, str(err))
    return Extracted(video, feat, False, None, features.extra.get("damage"))


def extract_batch(
    videos: Sequence[Path], folder: Path, *, snippet_s: float = 1.0, jobs: int = 1, progress: Progress | None = None
) -> Iterator[Extracted]:
    """Extract many videos; those whose .feat file is current are left alone, and a broken one does not stop the rest.

    Args:
        videos: files.
        folder: gets the .feat files.
        snippet_s: length of a snippet in seconds.
        jobs: processes.
        progress: called within each video, where one process does it all.

    Yields:
        One result per video, in their order.
    """
    work = [(video, feat, snippet_s) for video, feat in feat_paths(videos, folder).items()]
    if jobs == 1 or len(work) == 1:
        yield from (_extract(job, progress) for job in work)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_extract, work, chunksize=min(8, max(1, len(work) // (4 * jobs))))
