"""Sidecar files: features stored next to their video, one .feat file per backbone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from wsra.runtime.errors import FeatureError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.names import FEAT
from wsra.runtime.formats.features import Features, read_features


def tag_of(backbone: str) -> str:
    """The tag of a backbone in the name of a second .feat file: its name and eight digits of the digest of its id."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", backbone.split("@", maxsplit=1)[0])[:24].strip("-")
    return f"{name}-{hashlib.sha256(backbone.encode()).hexdigest()[:8]}"


def find_sidecar(video: Path, backbone: str) -> tuple[Path, Features | None]:
    """The sidecar file of a video for a backbone.

    It is `NAME.feat`, unless that holds features of another backbone, which are never replaced; then it is `NAME.TAG.feat`.

    Returns:
        The file, and its features if they exist and are of this backbone.
    """
    plain, tagged = video.with_suffix(FEAT), video.with_name(f"{video.stem}.{tag_of(backbone)}{FEAT}")
    for path in (plain, tagged):
        features = _read(path)
        if features is not None and features.backbone == backbone:
            return path, features
    return (plain if _read(plain) is None else tagged), None


def base_of(feat: Path) -> tuple[str, str | None]:
    """Stem of the video to which a .feat file belongs, and the backbone of the file (None if it is unreadable)."""
    features = _read(feat)
    if features is None:
        return feat.stem, None
    return feat.stem.removesuffix(f".{tag_of(features.backbone)}"), features.backbone


def _read(path: Path) -> Features | None:
    try:
        with one_file(path, FeatureError):
            return read_features(path)
    except FeatureError:
        return None
