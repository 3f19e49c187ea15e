"""The video from which a .feat file was made, where it lies beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wsra.runtime.files.names import VIDEOS
from wsra.runtime.formats.features import Features


def find_video(features: Features) -> Path | None:
    """The video of features: of the name that they record, or of the .feat file's own name with the ending of a video.

    Returns:
        A file in the folder of the .feat file (for features in memory in the current folder) whose size is that of the video from which
        the features were made, if they record it; None where there is none. Its bytes are not read.
    """
    size = features.extra.get("source_size")
    for path in _candidates(features):
        if path.is_file() and (size is None or path.stat().st_size == int(size)):
            return path
    return None


def _candidates(features: Features) -> Iterator[Path]:
    name = Path(features.video).name
    folder = features.path.parent if features.path is not None else Path()
    if Path(name).suffix.lower() in VIDEOS:
        yield folder / name
    if features.path is not None:
        stem = features.path.stem
        yield from (folder / f"{stem}{suffix}" for suffix in sorted(VIDEOS))
