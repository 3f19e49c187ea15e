"""The files an input stands for (itself, or everything in a folder and below), and where the features of each are.

Features of a video are stored next to it, one .feat file per backbone: its sidecar.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

from wsra.runtime.archive.cameras import Footage, footage_of
from wsra.runtime.archive.catalogue import Catalogue, read_summary
from wsra.runtime.archive.entries import Entry
from wsra.runtime.archive.folders import Folder, folders
from wsra.runtime.errors import DataError, FeatureError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.files.names import FEAT
from wsra.runtime.formats.clips import is_clip
from wsra.runtime.formats.features import FeatureSummary

logger = logging.getLogger(__name__)

Summaries = Callable[[Path], FeatureSummary]  # raises FeatureError
Check = Callable[[FeatureSummary], None]  # raises FeatureError where features do not fit the bundle


@dataclass(frozen=True)
class Input:
    """A file to be answered, or a folder of which nothing is known.

    Attributes:
        path: a video or a .feat file.
        root: the folder that was asked for and holds it; None where the file itself was named.
        twin: another video that would share its features, or None.
        unlisted: why `path`, a folder then, cannot be listed; None of a file.
        folder: in which the walk found the file, or None.
        entry: what the catalogue knows of its features, unchanged since, or None.
    """

    path: Path
    root: Path | None = None
    twin: Path | None = None
    unlisted: str | None = None
    folder: Folder | None = field(default=None, compare=False, repr=False)
    entry: Entry | None = field(default=None, compare=False, repr=False)

    def bare(self) -> Input:
        """The same without what the walk found, to be sent to other processes."""
        return replace(self, folder=None, entry=None)


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
    return once_each(given for path in paths for given in inputs_of(path, backbone, catalogue))


def once_each(inputs: Iterable[Input]) -> list[Input]:
    """Of inputs each file once, as `inputs_of_all`."""
    once: dict[tuple[str, str], Input] = {}
    for given in inputs:
        folder = given.folder.real if given.folder is not None else str(given.path.parent.resolve())
        place = folder, given.path.name
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
    found = inputs_in(path, backbone, catalogue)
    if not found:
        raise DataError(f"{path}: no .feat file and no video in this folder; extract some with wsra extract VIDEO... -o {path}")
    return found


def inputs_in(path: Path, backbone: str, catalogue: Catalogue) -> list[Input]:
    """As `inputs_of`, but an empty folder has no inputs.

    Raises:
        DataError: there is no such file or folder, or it cannot be known.
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
    for folder in folders(path, unlisted):
        try:
            with _uncollected():
                files, of_wsra = _files_of(folder, path, backbone, catalogue)
            found += files
            clips += of_wsra
        except OSError as err:
            found.append(Input(folder.path, path, unlisted=err.strerror))
    found += [Input(Path(err.filename), path, unlisted=err.strerror) for err in unlisted]
    if clips:
        logger.info(f"{path}: left out {clips} clip{'s' if clips > 1 else ''} that wsra wrote; to search one, name it")
    return found


def look(given: Input, backbone: str, check: Check, catalogue: Catalogue) -> Footage | MissingFeatures:
    """What an input is: its features, or where they must be made first; refuses what cannot be used, quickly and without writing.

    Args:
        given: the input.
        backbone: whose features are wanted.
        check: refuses features that the bundle cannot use.
        catalogue: knows what .feat files hold.

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
    if (name := path.name).endswith(FEAT) and name != FEAT:  # a path has a suffix then, which would take longer to find
        entry = given.entry or catalogue.entry(path)
        summary = entry.summary
        check(summary)
        return footage_of(path, summary, root=given.root, origin=entry.origin, folder=given.folder)
    from wsra.runtime.archive.videos import look_at_video

    return look_at_video(given, backbone, check, catalogue)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Make many objects that stay; otherwise Python would look for garbage among them again and again, a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _files_of(folder: Folder, root: Path, backbone: str, catalogue: Catalogue) -> tuple[list[Input], int]:
    """Videos and .feat files without a video in one folder, by name, with the twin of each; and the number of clips, which are left out.

    Broken links are reported later.

    Raises:
        OSError: a file cannot be looked at.
    """
    known = catalogue.unchanged(folder)
    if folder.error is not None:
        raise folder.error
    videos: dict[str, list[str]] = {}
    for name in folder.files:
        if not name.endswith(FEAT):
            videos.setdefault(name.rpartition(".")[0], []).append(name)
    alone: dict[str, list[tuple[str, Entry | None]]] = {}
    for name in folder.files:
        if name.endswith(FEAT) and (stem := name.removesuffix(FEAT)) not in videos:
            entry = known.get(name) or _entry(folder.path / name, catalogue)
            base = stem.removesuffix(f".{tag_of(entry.backbone)}") if entry is not None else stem
            if base not in videos:
                alone.setdefault(base, []).append((name, entry))
    found: list[tuple[str, str | None, Entry | None]] = []
    clips = 0
    for stem, names in videos.items():
        same = [name for name in names if not (f"{stem}.json" in folder.names and is_clip(folder.path / name))]
        clips += len(names) - len(same)
        entry = known.get(f"{stem}{FEAT}")
        if entry is not None and entry.backbone != backbone:
            entry = None
        found += [(name, next((other for other in same if other != name), None), entry) for name in same]
    for feats in alone.values():
        if len(feats) > 1:  # of several backbones
            wanted = [feat for feat in feats if feat[1] is not None and feat[1].backbone == backbone]
            feats = wanted[:1] + [feat for feat in feats if feat[1] is None or not wanted]
        found += [(name, None, entry) for name, entry in feats]
    inputs = [
        Input(folder.path / name, root, folder.path / twin if twin is not None else None, folder=folder, entry=entry)
        for name, twin, entry in sorted(found, key=itemgetter(0))
    ]
    return inputs, clips


@lru_cache(maxsize=64)
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
    plain = video.with_suffix(FEAT)
    of_plain = _said(plain, summary)
    if of_plain is not None and of_plain.backbone == backbone:
        return plain, of_plain
    tagged = video.with_name(f"{video.stem}.{tag_of(backbone)}{FEAT}")
    of_tagged = _said(tagged, summary)
    if of_tagged is not None and of_tagged.backbone == backbone:
        return tagged, of_tagged
    return (plain if of_plain is None else tagged), None


def _entry(feat: Path, catalogue: Catalogue) -> Entry | None:
    """What is known of a .feat file; None if it is unreadable."""
    try:
        with one_file(feat, FeatureError):
            return catalogue.entry(feat)
    except FeatureError:
        return None


def _said(path: Path, summary: Summaries) -> FeatureSummary | None:
    try:
        with one_file(path, FeatureError):
            return summary(path)
    except FeatureError:
        return None
