"""Files of one camera, one after the other: each begins with the background and the tracks that the one before ended with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from wsra.runtime.backbones.common.protocol import ContinuingBackbone
from wsra.runtime.backbones.registry import BackboneChoice
from wsra.runtime.backbones.tracking.camera import SUFFIX, Camera, read_camera
from wsra.runtime.errors import BackboneError, VideoError, WsraError
from wsra.runtime.extraction.batch import Extracted, Progress, extract_features, feat_paths, warning
from wsra.runtime.extraction.provenance import is_current, refuse_others
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import refuse_existing, sha256_of, usable_folder
from wsra.runtime.formats.features import Features, read_features, write_features
from wsra.runtime.formats.wallclock import Start, from_iso, start_of
from wsra.runtime.terminal.console import say
from wsra.runtime.video.frames import Video
from wsra.runtime.video.hardware import CPU

MAX_GAP_S = 600.0  # after a longer one a new background is found, as at the start of a recording
_CLOCK_S = 60.0  # what clocks in names and metadata may be off


def extract_recording(
    videos: Sequence[Path],
    folder: Path,
    *,
    backbone: BackboneChoice | None = None,
    snippet_s: float = 1.0,
    decoder: str = CPU,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Iterator[Extracted]:
    """Extract the files of one camera in the given order, one after the other.

    Beside each `NAME.feat` the state of the camera at the end of the file is kept as `NAME.camera`. A file is kept when it is current and
    began with the very state that the file before has now. A file begins anew where the picture changed since, where the wall clock (of
    metadata or names, not file times) says that more than ten minutes lie between or that the order is wrong, and after a broken file.

    Args:
        videos: files, in the order of time.
        folder: gets the .feat and .camera files.
        backbone: what makes the features; None for the built-in `motion`.
        snippet_s: length of a snippet in seconds.
        decoder: as for `Video`.
        progress: called within each video.
        overwrite: replace features of another backbone, snippet length or tool.

    Yields:
        One result per video, in their order.

    Raises:
        OutputError: the folder cannot be written to.
        BackboneError: the backbone follows no objects.
        WsraError: the backbone cannot be loaded.
    """
    usable_folder(folder)
    choice = backbone or BackboneChoice()
    loaded = choice.load()
    if not isinstance(loaded, ContinuingBackbone):
        raise BackboneError(
            f"--continue with {choice.name} and --regions {choice.regions}, which follow nothing from one file into the next;"
            " expected motion or --regions tracks: leave --continue out"
        )
    before: Path | None = None  # features of the file before
    for video, feat in feat_paths(videos, folder).items():
        try:
            refuse_existing(feat, overwrite=True)
            with one_file(video, VideoError), locked(feat, waiting=say):
                if not overwrite:
                    refuse_others(feat, backbone=loaded.id(snippet_s))
                done = _extract_next(video, feat, before, loaded, snippet_s, decoder, progress)
        except WsraError as err:
            done = Extracted(video, feat, False, str(err))
        before = feat if done.error is None else None
        yield done


def _extract_next(
    video: Path, feat: Path, before: Path | None, backbone: ContinuingBackbone, snippet_s: float, decoder: str, progress: Progress | None
) -> Extracted:
    anew = _why_anew(video, read_features(before)) if before is not None else None
    carried = before.with_suffix(SUFFIX) if before is not None and anew is None else None
    continues = sha256_of(carried) if carried is not None else ""
    state = feat.with_suffix(SUFFIX)
    if feat.exists() and state.exists() and video.is_file() and is_current(feat, video, backbone=backbone.id(snippet_s)):
        extra = read_features(feat).extra
        if extra.get("continues") == continues and extra.get("camera_sha256") == sha256_of(state):
            return Extracted(video, feat, True, None, anew)
    camera = read_camera(carried) if carried is not None else Camera()
    features = extract_features(video, backbone=backbone.continuing(camera), snippet_s=snippet_s, decoder=decoder, progress=progress)
    camera.next_file(features.duration_s)
    camera.write(state)  # before the features, which tell its digest: what is current is complete
    extra = {**features.extra, "continues": continues, "camera_sha256": sha256_of(state)}
    write_features(feat, replace(features, extra=extra))
    return Extracted(video, feat, False, None, "; ".join(told for told in (anew, warning(features, decoder)) if told) or None)


def _why_anew(video: Path, before: Features) -> str | None:
    """Why the background of the file before is not taken, or None."""
    with Video(video, height_px=1, frames_per_s=1.0) as opened:
        start = start_of(video, opened.metadata, 0.0)
    earlier = before.extra.get("start_time"), before.extra.get("start_time_source")
    gap_s = _gap_s(earlier, start, before.duration_s)
    if gap_s is None or -_CLOCK_S <= gap_s <= MAX_GAP_S:
        return None
    if gap_s < 0:
        return f"begins anew: {before.video} ends {-gap_s:.0f} s after it starts; give the files in the order of time"
    return f"begins anew: {gap_s:.0f} s lie between it and {before.video}"


def _gap_s(earlier: tuple[str | None, str | None], later: Start, duration_s: float) -> float | None:
    """Seconds from the end of a file to the start of the next, where both clocks are of one kind that can be trusted."""
    time, source = earlier
    if time is None or source != later.source or source == "modified":
        return None
    first, second = from_iso(time), from_iso(later.time)
    if first is None or second is None or (first.tzinfo is None) != (second.tzinfo is None):
        return None
    return (second - first).total_seconds() - duration_s
