"""What `wsra ground` writes besides its answer: which files, what can be refused before the search, and the writing after it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from wsra.runtime.archive.search import SearchResults
from wsra.runtime.errors import EXTRA_OF, BackendError, ConfigError, MissingExtraError, OutputError
from wsra.runtime.evidence.exhibits import Exhibit
from wsra.runtime.files.writing import refuse_existing, usable_folder
from wsra.runtime.progress import Progress, unseen

if TYPE_CHECKING:
    from wsra.runtime.evidence.provenance import Provenance

logger = logging.getLogger(__name__)

PLAYLISTS = (".m3u8", ".edl", ".csv")


@dataclass(frozen=True)
class Exports:
    """What is wanted.

    Attributes:
        report: an HTML file.
        clips: a folder of clips.
        exact: encode clips to the frame.
        boxes: burn boxes into clips, which encodes them too.
        playlist: a file whose ending is one of `PLAYLISTS`.
        picture: a PNG.
        overwrite: replace files that exist.
    """

    report: Path | None = None
    clips: Path | None = None
    exact: bool = False
    boxes: bool = False
    playlist: Path | None = None
    picture: Path | None = None
    overwrite: bool = False


def check(exports: Exports) -> None:
    """Refuse before the search what could not be written after it.

    Raises:
        ConfigError: an ending is unknown, or options do not go together.
        OutputError: a file exists, or its folder cannot be written to.
        MissingExtraError: a library is not installed.
        BackendError: PyAV has no encoder of H.264.
    """
    files = (
        ("--report", exports.report, (".html", ".htm")),
        ("--playlist", exports.playlist, PLAYLISTS),
        ("--picture", exports.picture, (".png",)),
    )
    if exports.clips is None and (exports.exact or exports.boxes):
        raise ConfigError(f"{'--exact' if exports.exact else '--boxes'} is for clips; give their folder with --clips DIR")
    if exports.overwrite and exports.clips is None and all(path is None for _, path, _ in files):
        raise ConfigError("--overwrite replaces files of --report, --clips, --playlist or --picture; give one of these")
    for option, path, endings in files:
        if path is not None:
            if path.suffix.lower() not in endings:
                ends = f"ends with {path.suffix}" if path.suffix else "has no ending"
                raise ConfigError(f"{option} {path}: {ends}; expected {_either(endings)}")
            refuse_existing(path, overwrite=exports.overwrite)
            usable_folder(path.parent)
    if exports.clips is not None:
        _check_clips(exports.clips, exports)
    if exports.report is not None:
        _need("jinja2", "a report")
    for wanted, purpose in ((exports.report, "a report"), (exports.picture, "a contact sheet"), (exports.clips, "writing clips")):
        if wanted is not None:
            _need("av", purpose)
            _need("cv2", purpose)
    if exports.playlist is not None and exports.playlist.suffix.lower() == ".edl":
        _need("av", "an EDL, which takes the frame rate from the video,")


def _either(words: Sequence[str]) -> str:
    """The words as a choice: "a", "a or b", "a, b or c"."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _check_clips(folder: Path, exports: Exports) -> None:
    refuse_existing(folder, overwrite=True, folder=True)
    if not exports.overwrite and folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds files already; choose a new folder for the clips, or add to it with --overwrite")
    usable_folder(folder)
    if exports.exact or exports.boxes:
        from wsra.runtime.evidence.cutting import ENCODER, can_encode

        if not can_encode():
            raise BackendError(f"this PyAV has no {ENCODER}, which --exact and --boxes need; leave them out, or install PyAV from PyPI")


def _need(library: str, purpose: str) -> None:
    try:
        import_module(library)
    except ImportError as err:
        raise MissingExtraError(library, EXTRA_OF[library], purpose) from err


def export(
    exports: Exports,
    exhibits: Sequence[Exhibit],
    found: SearchResults,
    *,
    false_alarms: float | None,
    command: Sequence[str],
    progress: Progress = unseen,
) -> bool:
    """Write everything that is wanted. Where nothing is found, no clips and no playlist are written, and a message says so.

    Args:
        exports: what.
        exhibits: the moments of the answer.
        found: the answer.
        false_alarms: per hour that were accepted; None for moments of a confidence above 1/2.
        command: the words of the command line.
        progress: called with "MB", "pictures" and "clips".

    Returns:
        Whether every moment is in the clips and the playlist; False where the video of one is not here or is damaged.

    Raises:
        OutputError: a file cannot be written.
        FeatureError: a .feat file or a video cannot be read any more.
    """
    complete = True
    if exports.playlist is not None:
        complete = _write_playlist(exhibits, exports.playlist)
    if exports.picture is not None:
        from wsra.runtime.evidence.contact_sheet import write_contact_sheet

        write_contact_sheet(exhibits, exports.picture, progress=progress)
        logger.info(f"picture {exports.picture}")
    clips = exports.clips is not None and any(exhibit.found for exhibit in exhibits)
    if exports.clips is not None and not clips:
        logger.info("no clips: nothing was found")
    if clips or exports.report is not None:
        from wsra.runtime.evidence.provenance import provenance_of

        sources = {part.source.feat: part.source for exhibit in exhibits for part in exhibit.parts}
        provenance = provenance_of(found, sources.values(), command, progress=progress)
        if clips:
            complete = _write_clips(exports, exhibits, provenance, progress) and complete
        if exports.report is not None:
            from wsra.runtime.evidence.report_html import write_report

            write_report(exhibits, found, provenance, exports.report, false_alarms=false_alarms, progress=progress)
            logger.info(f"report {exports.report}")
    return complete


def _write_playlist(exhibits: Sequence[Exhibit], path: Path) -> bool:
    """Write the playlist where there is something to list; returns whether every moment is in it."""
    from wsra.runtime.evidence.playlist import listed, write_playlist

    parts = [part for exhibit in exhibits if exhibit.found for part in exhibit.parts]
    held = listed(parts, path)
    if not held:
        logger.info(f"no playlist: {'no video of the moments is here' if parts else 'nothing was found'}")
    else:
        write_playlist(exhibits, path)
        logger.info(f"playlist {path}")
    return len(held) == len(parts)


def _write_clips(exports: Exports, exhibits: Sequence[Exhibit], provenance: Provenance, progress: Progress) -> bool:
    """Write the clips; returns whether every moment has one."""
    from wsra.runtime.evidence.clips import write_clips

    assert exports.clips is not None
    if exports.boxes and not exports.exact:
        logger.info("--boxes draws into the pictures, so the clips are encoded anew, as with --exact")
    clips = write_clips(
        exhibits,
        provenance,
        exports.clips,
        exact=exports.exact or exports.boxes,
        boxes=exports.boxes,
        overwrite=exports.overwrite,
        progress=progress,
    )
    missing = clips.count(None)
    if missing:
        logger.warning(f"{missing} of {len(clips)} clips could not be written, because their videos are not here or are damaged")
    return not missing
