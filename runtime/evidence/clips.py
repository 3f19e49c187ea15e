"""Clips of moments: files named by camera, wall clock and sentence, each with a sidecar of digests, and SHA256SUMS over all of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsra.runtime.archive.answer_json import moment_json
from wsra.runtime.drawing.boxes import Picture, with_box
from wsra.runtime.errors import OutputError, VideoError
from wsra.runtime.evidence.cutting import Cut, copy_part, encode_part
from wsra.runtime.evidence.exhibits import Exhibit, Part
from wsra.runtime.evidence.names import clip_name, unique
from wsra.runtime.evidence.provenance import Provenance
from wsra.runtime.files.names import is_component
from wsra.runtime.files.writing import refuse_existing, replacing, sha256_of
from wsra.runtime.formats.clips import FORMAT, VERSION
from wsra.runtime.progress import Progress, unseen

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
_NAME = 66  # where the name begins in a line of it: after 64 digits and two spaces


@dataclass(frozen=True)
class Clip:
    """A clip that was written: its file, what it holds, how many seconds it begins before the moment, and whether it shows a box."""

    file: Path
    cut: Cut
    early_s: float
    boxes: bool


def write_clips(
    exhibits: Sequence[Exhibit],
    provenance: Provenance,
    folder: Path,
    *,
    exact: bool,
    boxes: bool,
    overwrite: bool,
    progress: Progress = unseen,
) -> list[Clip | None]:
    """Write each moment that is found as a clip; of a moment that runs over several files one clip per file.

    `SHA256SUMS` is brought up to date after each clip, so that it is right wherever the writing stops.

    Args:
        exhibits: the moments; best candidates are left out.
        provenance: of the answer.
        folder: where the clips go; it is created if there is something to write.
        exact: encode to the frame, instead of copying the stream from the key frame before.
        boxes: burn the boxes in, which needs `exact`.
        overwrite: replace files of the same names.
        progress: called with "clips".

    Returns:
        The clips; None for one whose video is not here, or, after a warning, for one that cannot be read there.

    Raises:
        OutputError: a file exists, or cannot be written.
    """
    parts = [(exhibit, part) for exhibit in exhibits if exhibit.found for part in exhibit.parts]
    taken: set[str] = set()
    names = [unique(clip_name(exhibit, part), taken) for exhibit, part in parts]
    for name in names:
        refuse_existing(folder / f"{name}.mp4", overwrite=overwrite)
    clips: list[Clip | None] = []
    try:
        for done, ((exhibit, part), name) in enumerate(zip(parts, names, strict=True), 1):
            clips.append(_write(exhibit, part, folder / f"{name}.mp4", provenance, exact=exact, boxes=boxes))
            progress("clips", done, len(parts))
    except (OutputError, KeyboardInterrupt, SystemExit):
        written = sum(clip is not None for clip in clips)
        logger.warning(f"stopped: {written} of {len(parts)} clips were written to {folder}; go on by the same command with --overwrite")
        raise
    bare = sum(clip is not None and not clip.boxes for clip in clips)
    if boxes and bare:
        logger.warning(f"--boxes: {bare} of {len(parts)} clips show no box, because no object is known there")
    return clips


def _write(exhibit: Exhibit, part: Part, file: Path, provenance: Provenance, *, exact: bool, boxes: bool) -> Clip | None:
    """Write one clip with its sidecar and sums; None where its video is not here, or, with a warning, where it cannot be read there."""
    video, excerpt = part.source.file, part.excerpt
    if video is None:
        return None
    drawn = False

    def burn(picture: Picture, time_s: float) -> Picture:
        nonlocal drawn
        box = exhibit.box(part, time_s)
        if box is None:
            return picture
        drawn = True
        return with_box(picture, box)

    sidecar = file.with_suffix(".json")
    try:
        with replacing(file) as place:
            if exact:
                cut = encode_part(video, place, excerpt.start_s, excerpt.end_s, burn if boxes else None)
            else:
                cut = copy_part(video, place, excerpt.start_s, excerpt.end_s)
            clip = Clip(file, cut, max(0.0, excerpt.start_s - cut.start_s), drawn)
            digest = sha256_of(place)
            if file.exists():  # its lines would be wrong if the disk is full after it is replaced
                _sum(file.parent, {file.name: None, sidecar.name: None})
            with replacing(sidecar) as beside:  # before the clip gets its name: no clip is ever without it
                beside.write_text(json.dumps(_sidecar(exhibit, part, clip, digest, provenance), indent=1) + "\n", encoding="utf-8")
    except VideoError as err:
        logger.warning(f"no clip {file.name}: {err}")
        return None
    _sum(file.parent, {file.name: digest, sidecar.name: sha256_of(sidecar)})
    begins = f", begins {clip.early_s:.1f} s early, at a key frame" if clip.early_s >= 0.05 else ""
    logger.info(f"clip {file}{begins}")
    return clip


def _sum(folder: Path, digests: Mapping[str, str | None]) -> None:
    """Put digests into `SHA256SUMS`, or take out the lines of names whose digest is None. Other lines stay, but for deleted clips."""
    sums = folder / SUMS
    lines = sums.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if sums.exists() else []
    lines = [line for line in lines if (name := line[_NAME:]) not in digests and not _is_gone(folder, name)]
    lines += [f"{digest}  {name}" for name, digest in digests.items() if digest is not None]
    with replacing(sums) as place:
        place.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")


def _is_gone(folder: Path, name: str) -> bool:
    return is_component(name) and name.endswith((".mp4", ".json")) and not (folder / name).exists()


def _sidecar(exhibit: Exhibit, part: Part, clip: Clip, digest: str, provenance: Provenance) -> dict[str, Any]:
    source = provenance.sources[part.source.feat]
    table = asdict(provenance)
    del table["sources"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "query": exhibit.query,
        "rank": exhibit.rank,
        "moment": moment_json(exhibit.detection, found=exhibit.found),
        "clip": {
            "file": clip.file.name,
            "sha256": digest,
            "video": source.video,
            "start_s": clip.cut.start_s,
            "end_s": clip.cut.end_s,
            "early_s": clip.early_s,
            "boxes": clip.boxes,
        },
        "source": asdict(source),
        "made_by": table,
    }
