"""What lies in the opened folders, looked at as `wsra ground` looks at it, but nothing is opened that the catalogue knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from wsra.runtime.archive.cameras import Footage
from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.inputs import Input, MissingFeatures, inputs_of_all, look
from wsra.runtime.errors import DataError, FeatureError, OutputError, VideoError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.formats.bundle import Bundle
from wsra.runtime.grounding.grounder import Grounder


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that cannot be used, and why, in a sentence."""

    file: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What can be asked; what must be extracted first; and what cannot be used."""

    footage: tuple[Footage, ...]
    missing: tuple[MissingFeatures, ...]
    left_out: tuple[LeftOut, ...]


class _Unopened:
    """The manifest of a bundle, which is all that looking at a file needs of a grounder."""

    check = Grounder.check

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.manifest = bundle.folder, bundle.manifest


def look_into(roots: Sequence[Path], bundle: Bundle) -> Found:
    """Look into folders. One that holds nothing yet is no error here.

    Args:
        roots: the folders.
        bundle: whose features are wanted.
    """
    footage: list[Footage] = []
    missing: list[MissingFeatures] = []
    left_out: list[LeftOut] = []
    like_open = cast("Grounder", _Unopened(bundle))
    with Catalogue() as catalogue:
        for given in _inputs(roots, bundle.manifest.backbone, catalogue, left_out):
            try:
                with one_file(given.path, VideoError):
                    seen = look(given, like_open, catalogue)
            except (FeatureError, VideoError, OutputError) as err:
                left_out.append(left_out_of(given.path, str(err)))
            else:
                footage.append(seen) if isinstance(seen, Footage) else missing.append(seen)
    return Found(tuple(footage), tuple(missing), tuple(left_out))


def left_out_of(path: Path, message: str) -> LeftOut:
    """A file with the message about it, which may begin with its name."""
    return LeftOut(str(path), message.removeprefix(f"{path}: "))


def _inputs(roots: Iterable[Path], backbone: str, catalogue: Catalogue, left_out: list[LeftOut]) -> list[Input]:
    there = []
    for root in roots:
        try:
            inputs_of_all([root], backbone, catalogue)
        except DataError as err:
            if not root.is_dir():
                left_out.append(left_out_of(root, str(err)))
        else:
            there.append(root)
    return inputs_of_all(there, backbone, catalogue)
