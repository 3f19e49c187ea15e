"""What folders hold, listed: the files that can be asked, the videos without features, and what is left out, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsra.runtime.archive.cameras import Footage
from wsra.runtime.archive.catalogue import Catalogue
from wsra.runtime.archive.inputs import Check, Input, MissingFeatures, inputs_in, look, once_each
from wsra.runtime.errors import DataError, FeatureError, OutputError, VideoError, WsraError
from wsra.runtime.files.boundary import one_file
from wsra.runtime.progress import Progress, unseen

Refuse = Callable[[Input, WsraError], None]


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that cannot be used, and why; the reason is one sentence that begins with the file."""

    file: Path
    reason: str


@dataclass(frozen=True)
class Listing:
    """What folders hold.

    Attributes:
        footage: the files whose features are there.
        missing: videos without features.
        left_out: what cannot be used.
    """

    footage: tuple[Footage, ...]
    missing: tuple[MissingFeatures, ...]
    left_out: tuple[LeftOut, ...]


def list_archive(paths: Sequence[Path], backbone: str, check: Check, catalogue: Catalogue) -> Listing:
    """List all that files and folders hold, as `wsra ground` finds it, without extracting anything; an empty folder holds nothing.

    Args:
        paths: files or folders. One that is not there, or cannot be used, is left out with the reason.
        backbone: id of the backbone of the bundle.
        check: refuses features that the bundle cannot use (`Grounder.check`).
        catalogue: knows what .feat files hold.
    """
    left_out: list[LeftOut] = []

    def refuse(path: Path, err: WsraError) -> None:
        left_out.append(LeftOut(path, reason_of(path, err)))

    inputs: list[Input] = []
    for path in paths:
        try:
            inputs += inputs_in(path, backbone, catalogue)
        except DataError as err:
            refuse(path, err)
    found = look_at_all(once_each(inputs), backbone, check, catalogue, lambda given, err: refuse(given.path, err))
    footage = tuple(one for one in found if isinstance(one, Footage))
    return Listing(footage, tuple(one for one in found if isinstance(one, MissingFeatures)), tuple(left_out))


def look_at_all(
    inputs: Sequence[Input], backbone: str, check: Check, catalogue: Catalogue, refuse: Refuse, progress: Progress = unseen
) -> list[Footage | MissingFeatures]:
    """The inputs that can be used.

    Args:
        inputs: in the order of the answer.
        backbone: as the rest, see `look`.
        check: of the bundle.
        catalogue: of what .feat files hold.
        refuse: is called with each input that cannot be used, and why; what it raises ends the listing.
        progress: is called with the "files" done and all.
    """
    located: list[Footage | MissingFeatures] = []
    for done, given in enumerate(inputs, 1):
        try:
            with one_file(given.path, VideoError):
                located.append(look(given, backbone, check, catalogue))
        except (FeatureError, VideoError, OutputError) as err:
            refuse(given, err)
        progress("files", done, len(inputs))
    return located


def reason_of(path: Path, err: WsraError) -> str:
    """Why a file is left out, beginning with the file."""
    message = str(err)
    return message if message.startswith(str(path)) else f"{path}: {message}"
