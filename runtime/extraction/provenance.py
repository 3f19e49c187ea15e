"""Which video a .feat file was made from, and whether that video has changed since."""

from __future__ import annotations

from pathlib import Path

from wsra.runtime.errors import FeatureError, OutputError
from wsra.runtime.files.digests import Digests
from wsra.runtime.files.writing import sha256_of
from wsra.runtime.formats.features import Features, FeatureSummary, read_features
from wsra.runtime.video.frames import file_state

_WRITTEN = frozenset({"source_sha256", "snippet_s"})  # metadata of .feat files that wsra extract wrote, and can make again


def provenance(path: Path, state: tuple[int, int] | None) -> dict[str, str]:
    """The metadata in a .feat file that identifies its video.

    Args:
        path: the video.
        state: its size in bytes and modification time in nanoseconds when it was opened (`file_state`).

    Returns:
        Digest, size and time; an empty digest if the file changed meanwhile, so that it is extracted again next time.
    """
    digest = sha256_of(path)
    if state is None or file_state(path) != state:
        return {"source_sha256": ""}
    return {"source_sha256": digest, "source_size": str(state[0]), "source_mtime_ns": str(state[1])}


def is_extracted(features: Features | FeatureSummary) -> bool:
    """Whether wsra extract wrote these features."""
    return _WRITTEN.issubset(features.extra)


def is_of(features: Features | FeatureSummary, video: Path) -> bool:
    """Whether features were made from this very video; its bytes are read only if the stored size and time do not match.

    Raises:
        OSError: the video is gone or cannot be read.
    """
    digest, size = features.extra.get("source_sha256"), features.extra.get("source_size")
    state = file_state(video)
    if digest and state is not None and (size, features.extra.get("source_mtime_ns")) == (str(state[0]), str(state[1])):
        return True
    if state is not None and size is not None and size != str(state[0]):
        return False
    return digest == Digests(video.parent, trust=True).of(video.name)  # a copied file has a new time, so its digest is cached


def is_current(feat: Path, video: Path, *, backbone: str) -> bool:
    """Whether a .feat file is complete and was made from this very video with the backbone of this id.

    Raises:
        OSError: the video is gone or cannot be read.
    """
    try:
        features = read_features(feat)
    except FeatureError:
        return False
    return features.backbone == backbone and is_of(features, video)


def refuse_others(feat: Path, *, backbone: str) -> None:
    """Stop before features of another tool, backbone or snippet length would be replaced.

    Args:
        feat: the output file.
        backbone: id of the backbone that will make the features.

    Raises:
        OutputError: the file is a .feat file that wsra extract would not write again.
    """
    try:
        features = read_features(feat)
    except FeatureError:
        return
    if features.backbone != backbone or not is_extracted(features):
        origin = "" if is_extracted(features) else ", not from wsra extract"
        raise OutputError(
            f"{feat}: holds features of {features.backbone}{origin}; expected {backbone}; they are kept: extract into another folder, or"
            " replace them with --overwrite"
        )
