"""The files an input stands for (itself, or everything in a folder and below), and where the features of each are.

Features of a video are stored next to it, one .feat file per backbone: its sidecar.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wsra.runtime.archive.cameras import Footage, footage_of
from wsra.runtime.archive.catalogue import Catalogue, read_summary
from wsra.runtime.errors import DataError, FeatureError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.names import FEAT, VIDEOS
from wsra.runtime.formats.clips import is_clip
from wsra.runtime.formats.features import FeatureSummary
from wsra.runtime.grounding.grounder import Grounder

logger = logging.getLogger(__name__)

Summaries = Callable[[Path], FeatureSummary]  # raises FeatureError


@dataclass(frozen=True)
class Input:
    """A file to be answered, or a folder of which nothing is known.

    Attributes:
        path: a video or a .feat file.
        root: the folder that was asked for and holds it; None where the file itself was named.
        twin: another video that would share its features, or None.
        unlisted: why `path`, a folder then, cannot be listed; None of a file.
    """

    path: Path
    root: Path | None = None
    twin: Path | None = None
    unlisted: str | None = None


@dataclass(frozen=True)
class MissingFeatures:
    """A video that has no features yet, and where they are to be kept."""

    given: Input
    feat: Path


def inputs_of_all(paths: Iterable[Path], backbone: str, catalogue: Catalogue) -> list[Input]:
    """Of several files and folders each file once, however its folder is spelled; a file that is named itself counts as named.

    Args:
        paths: files or folders.
        backbone: as of `inputs_of`.
        catalogue: as of `inputs_of`.

    Raises:
        DataError: nothing is there.
    """
    real = lru_cache(maxsize=None)(Path.resolve)
    once: dict[Path, Input] = {}
    for given in (given for path in paths for given in inputs_of(path, backbone, catalogue)):
        place = real(given.path.parent) / given.path.name
        if given.root is None or place not in once:
            once[place] = given
    return list(once.values())


def inputs_of(path: Path, backbone: str, catalogue: Catalogue) -> list[Input]:
    """A file itself; or the videos of a folder, and its .feat files without a video next to them.

    Hidden files and folders are left alone, and so are clips that wsra wrote, which a message counts: they repeat what the videos show.

    Args:
        path: file or folder.
        backbone: whose features are wanted; a .feat file of another one does not count where there is one of this backbone.
        catalogue: knows what .feat files hold.

    Raises:
        DataError: nothing is there, or it cannot be known.
    """
    expected = "expected a video, a .feat file or a folder of them"
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as err:  # no name of a file: too long, or with a null in it; or below a folder that cannot be searched
        raise DataError(f"{path}: cannot be read ({getattr(err, 'strerror', None) or err}); {expected}") from err
    if not is_there:
        raise DataError(f"{path}: no such file or folder; {expected}")
    if not is_folder:
        return [Input(path)]
    unlisted: list[OSError] = []
    found: list[Input] = []
    clips = 0
    for folder, names in _folders(path, unlisted):
        try:
            files, of_wsra = _files_of(folder, names, backbone, catalogue)
            found += [Input(file, path, twin) for file, twin in files]
            clips += of_wsra
        except OSError as err:
            found.append(Input(folder, path, unlisted=err.strerror))
    found += [Input(Path(err.filename), path, unlisted=err.strerror) for err in unlisted]
    if clips:
        logger.info(f"{path}: left out {clips} clip{'s' if clips > 1 else ''} that wsra wrote; to search one, name it")
    if not found:
        raise DataError(f"{path}: no .feat file and no video in this folder; extract some with wsra extract VIDEO... -o {path}")
    return found


def look(given: Input, grounder: Grounder, catalogue: Catalogue) -> Footage | MissingFeatures:
    """What an input is: its features, or where they must be made first; refuses what cannot be used, quickly and without writing.

    Raises:
        FeatureError: a .feat file cannot be used, or is of another backbone than the bundle's.
        VideoError: a video cannot be opened, or another one would share its features; or a folder cannot be listed.
        OutputError: features are missing and cannot be kept next to the video.
    """
    path = given.path
    if given.unlisted is not None:
        raise VideoError(f"{path}: this folder cannot be listed ({given.unlisted}); allow this user to read it, or ask for others")
    if given.twin is not None:
        raise VideoError(f"{path} and {given.twin.name}: two videos of one name would share {path.stem}{FEAT}; rename one of them")
    if path.suffix == FEAT:
        summary = catalogue.summary(path)
        grounder.check(summary)
        return footage_of(path, summary, root=given.root)
    from wsra.runtime.archive.videos import look_at_video

    return look_at_video(given, grounder, catalogue)


def _folders(root: Path, unlisted: list[OSError]) -> Iterator[tuple[Path, list[str]]]:
    for folder, below, names in os.walk(root, onerror=unlisted.append):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), names


def _files_of(folder: Path, names: Sequence[str], backbone: str, catalogue: Catalogue) -> tuple[list[tuple[Path, Path | None]], int]:
    """Videos and .feat files without a video in one folder, by name, with the twin of each; and the number of clips, which are left out.

    Broken links are reported later.
    """
    catalogue.listed(folder, names)
    files = sorted(folder / name for name in names if not name.startswith("."))
    seen = [file for file in files if file.is_file() or file.is_symlink()]
    videos: dict[str, list[Path]] = {}
    for file in seen:
        if file.suffix.lower() in VIDEOS:
            videos.setdefault(file.stem, []).append(file)
    alone: dict[str, list[tuple[Path, str | None]]] = {}
    for file in seen:
        if file.suffix == FEAT and file.stem not in videos:
            base, made_by = base_of(file, catalogue.summary)
            if base not in videos:
                alone.setdefault(base, []).append((file, made_by))
    found: list[tuple[Path, Path | None]] = []
    clips = {file for same in videos.values() for file in same if is_clip(file)}
    for same in ([file for file in group if file not in clips] for group in videos.values()):
        found += [(video, next((other for other in same if other != video), None)) for video in same]
    for feats in alone.values():
        wanted = [feat for feat, made_by in feats if made_by == backbone]
        found += [(feat, None) for feat in wanted[:1] + [feat for feat, made_by in feats if made_by is None or not wanted]]
    return sorted(set(found), key=lambda pair: pair[0]), len(clips)


def tag_of(backbone: str) -> str:
    """The tag of a backbone in the name of a second .feat file: its name and eight digits of the digest of its id."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", backbone.split("@", maxsplit=1)[0])[:24].strip("-")
    return f"{name}-{hashlib.sha256(backbone.encode()).hexdigest()[:8]}"


def find_sidecar(video: Path, backbone: str, summary: Summaries = read_summary) -> tuple[Path, FeatureSummary | None]:
    """The sidecar file of a video for a backbone.

    It is `NAME.feat`, unless that holds features of another backbone, which are never replaced; then it is `NAME.TAG.feat`.

    Args:
        video: the video.
        backbone: id of the backbone.
        summary: what a .feat file says of its video.

    Returns:
        The file, and what it says if it exists and is of this backbone.
    """
    plain, tagged = video.with_suffix(FEAT), video.with_name(f"{video.stem}.{tag_of(backbone)}{FEAT}")
    said = {path: _said(path, summary) for path in (plain, tagged)}
    for path, one in said.items():
        if one is not None and one.backbone == backbone:
            return path, one
    return (plain if said[plain] is None else tagged), None


def base_of(feat: Path, summary: Summaries = read_summary) -> tuple[str, str | None]:
    """Stem of the video to which a .feat file belongs, and the backbone of the file (None if it is unreadable)."""
    said = _said(feat, summary)
    if said is None:
        return feat.stem, None
    return feat.stem.removesuffix(f".{tag_of(said.backbone)}"), said.backbone


def _said(path: Path, summary: Summaries) -> FeatureSummary | None:
    try:
        with one_file(path, FeatureError):
            return summary(path)
    except FeatureError:
        return None
