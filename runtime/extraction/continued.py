"""Consecutive files of one camera: each starts with the background and the tracks with which the previous file ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wsra.runtime.backbones.common.protocol import ContinuingBackbone
from wsra.runtime.backbones.registry import BackboneChoice
from wsra.runtime.backbones.tracking.camera import SUFFIX, Camera, read_camera
from wsra.runtime.errors import BackboneError, VideoError, WsraError
from wsra.runtime.extraction.batch import Extracted, SecondsDone, extract_features, feat_paths, stages, warning
from wsra.runtime.extraction.provenance import is_current, refuse_others
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, sha256_of, usable_folder
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.formats.wallclock import Start, from_iso, start_of
from wsra.runtime.video.frames import Video
from wsra.runtime.video.hardware import CPU

MAX_GAP_S = 600.0  # after a longer gap a new background is estimated, as at the start of a recording
_CLOCK_S = 60.0  # tolerance for clocks in names and metadata


def extract_recording(
    videos: Sequence[Path],
    folder: Path,
    *,
    backbone: BackboneChoice | None = None,
    snippet_s: float = 1.0,
    decoder: str = CPU,
    progress: SecondsDone | None = None,
    overwrite: bool = False,
) -> Iterator[Extracted]:
    """Extract the files of one camera in the given order, one after the other.

    The state of the camera at the end of each file is stored as `NAME.camera` next to `NAME.feat`. An existing `NAME.feat` is kept if it is
    current and started from the state that the previous file has now. The state is discarded if the picture has changed since, if the wall
    clock (of metadata or names, not of file times) shows a gap of more than ten minutes or a wrong order, and after a broken file.

    Args:
        videos: files in chronological order.
        folder: output folder of the .feat and .camera files.
        backbone: the backbone; None for the built-in `motion`.
        snippet_s: length of a snippet in seconds.
        decoder: see `open_video`.
        progress: called within each video.
        overwrite: whether to replace features of another backbone, snippet length or tool.

    Yields:
        One result per video, in order.

    Raises:
        OutputError: the folder cannot be written to.
        BackboneError: the backbone does not track objects.
        WsraError: the backbone cannot be loaded.
    """
    usable_folder(folder)
    choice = backbone or BackboneChoice()
    loaded = choice.load()
    if not isinstance(loaded, ContinuingBackbone):
        raise BackboneError(
            f"--continue with {choice.name} and --regions {choice.regions}, which track nothing from one file into the next;"
            " expected motion or --regions tracks, or no --continue"
        )
    previous: Path | None = None  # features of the previous file
    for video, feat in feat_paths(videos, folder).items():
        try:
            refuse_existing(feat, overwrite=True)
            with one_file(video, VideoError), locked(feat, wait=True):
                if not overwrite:
                    refuse_others(feat, backbone=loaded.id(snippet_s))
                done = _extract_next(video, feat, previous, loaded, snippet_s, decoder, progress)
        except WsraError as err:
            done = Extracted(video, feat, False, str(err))
        previous = feat if done.error is None else None
        yield done


def _extract_next(
    video: Path,
    feat: Path,
    previous: Path | None,
    backbone: ContinuingBackbone,
    snippet_s: float,
    decoder: str,
    progress: SecondsDone | None,
) -> Extracted:
    reset = _reset_reason(video, read_features(previous)) if previous is not None else None
    carried = previous.with_suffix(SUFFIX) if previous is not None and reset is None else None
    continues = sha256_of(carried) if carried is not None else ""
    state = feat.with_suffix(SUFFIX)
    if feat.exists() and state.exists() and video.is_file() and is_current(feat, video, backbone=backbone.id(snippet_s)):
        extra = read_features(feat).extra
        if extra.get("continues") == continues and extra.get("camera_sha256") == sha256_of(state):
            return Extracted(video, feat, True, None, reset)
    camera = read_camera(carried) if carried is not None else Camera()
    continuing = backbone.continuing(camera)
    features = extract_features(video, backbone=continuing, snippet_s=snippet_s, decoder=decoder, progress=progress)
    camera.next_file(features.duration_s)
    camera.write(state)  # before the features, which contain its digest: current features always have their state
    extra = {**features.extra, "continues": continues, "camera_sha256": sha256_of(state)}
    write_features(feat, replace(features, extra=extra))
    problems = "; ".join(text for text in (reset, warning(features, decoder)) if text) or None
    return Extracted(video, feat, False, None, problems, stages(continuing))


def _reset_reason(video: Path, previous: Features) -> str | None:
    """Why the state of the previous file is not used, or None."""
    with Video(video, height_px=1, frames_per_s=1.0) as opened:
        start = start_of(video, opened.metadata, 0.0)
    earlier = previous.extra.get("start_time"), previous.extra.get("start_time_source")
    gap_s = _gap_s(earlier, start, previous.duration_s)
    if gap_s is None or -_CLOCK_S <= gap_s <= MAX_GAP_S:
        return None
    if gap_s < 0:
        return f"starts without the previous state: {previous.video} ends {-gap_s:.0f} s later; give the files in chronological order"
    return f"starts without the previous state: there is a gap of {gap_s:.0f} s after {previous.video}"


def _gap_s(earlier: tuple[str | None, str | None], later: Start, duration_s: float) -> float | None:
    """Seconds from the end of a file to the start of the next one; None unless both clocks have the same trustworthy source."""
    time, source = earlier
    if time is None or source != later.source or source == "modified":
        return None
    first, second = from_iso(time), from_iso(later.time)
    if first is None or second is None or (first.tzinfo is None) != (second.tzinfo is None):
        return None
    return (second - first).total_seconds() - duration_s
