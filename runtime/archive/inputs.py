"""The files an input stands for (itself, or everything in a folder and below), and where the features of each are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wsra.runtime.archive.sidecar import base_of
from wsra.runtime.errors import DataError, VideoError
from wsra.runtime.files.names import FEAT, VIDEOS
from wsra.runtime.formats.features import read_features
from wsra.runtime.grounding.grounder import Grounder


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
class FeatureLocation:
    """An input, where its features are kept, and whether they must be made first."""

    given: Input
    feat: Path
    missing: bool


def inputs_of_all(paths: Iterable[Path], backbone: str) -> list[Input]:
    """Of several files and folders each file once, however its folder is spelled; a file that is named itself counts as named.

    Args:
        paths: files or folders.
        backbone: as of `inputs_of`.

    Raises:
        DataError: nothing is there.
    """
    real = lru_cache(maxsize=None)(Path.resolve)
    once: dict[Path, Input] = {}
    for given in (given for path in paths for given in inputs_of(path, backbone)):
        place = real(given.path.parent) / given.path.name
        if given.root is None or place not in once:
            once[place] = given
    return list(once.values())


def inputs_of(path: Path, backbone: str) -> list[Input]:
    """A file itself; or the videos of a folder, and its .feat files without a video next to them. Hidden files and folders are left alone.

    Args:
        path: file or folder.
        backbone: whose features are wanted; a .feat file of another one does not count where there is one of this backbone.

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
    for folder, names in _folders(path, unlisted):
        try:
            found += [Input(file, path, twin) for file, twin in _files_of(folder, names, backbone)]
        except OSError as err:
            found.append(Input(folder, path, unlisted=err.strerror))
    found += [Input(Path(err.filename), path, unlisted=err.strerror) for err in unlisted]
    if not found:
        raise DataError(f"{path}: no .feat file and no video in this folder; extract some with wsra extract VIDEO... -o {path}")
    return found


def locate_features(given: Input, grounder: Grounder) -> FeatureLocation:
    """Where the features of an input are; refuses what cannot be used, quickly and without writing.

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
        grounder.check(read_features(path))
        return FeatureLocation(given, path, missing=False)
    from wsra.runtime.archive.videos import locate_of_video

    return locate_of_video(given, grounder)


def _folders(root: Path, unlisted: list[OSError]) -> Iterator[tuple[Path, list[str]]]:
    for folder, below, names in os.walk(root, onerror=unlisted.append):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), names


def _files_of(folder: Path, names: Sequence[str], backbone: str) -> list[tuple[Path, Path | None]]:
    """Videos and .feat files without a video in one folder, by name, with the twin of each; broken links are reported later."""
    files = sorted(folder / name for name in names if not name.startswith("."))
    seen = [file for file in files if file.is_file() or file.is_symlink()]
    videos: dict[str, list[Path]] = {}
    for file in seen:
        if file.suffix.lower() in VIDEOS:
            videos.setdefault(file.stem, []).append(file)
    alone: dict[str, list[tuple[Path, str | None]]] = {}
    for file in seen:
        if file.suffix == FEAT and file.stem not in videos:
            base, made_by = base_of(file)
            if base not in videos:
                alone.setdefault(base, []).append((file, made_by))
    found: list[tuple[Path, Path | None]] = []
    for same in videos.values():
        found += [(video, next((other for other in same if other != video), None)) for video in same]
    for feats in alone.values():
        wanted = [feat for feat, made_by in feats if made_by == backbone]
        found += [(feat, None) for feat in wanted[:1] + [feat for feat, made_by in feats if made_by is None or not wanted]]
    return sorted(set(found), key=lambda pair: pair[0])
