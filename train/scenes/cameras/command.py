"""`wsra scenes`: a data set in a folder of its own, with progress."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, fields
from pathlib import Path

from wsra.runtime.errors import OutputError
from wsra.runtime.files.locks import locked
from wsra.runtime.files.writing import replacing
from wsra.runtime.progress import Progress, unseen
from wsra.train.scenes.cameras.render import Sizes, render_cameras

logger = logging.getLogger(__name__)

MARK = "scenes.json"
VERSION = 1  # of what a seed gives


def run_scenes(out: Path, sizes: Sizes, *, seed: int, jobs: int, progress: Progress = unseen) -> None:
    """Render a data set, or go on with one that was begun; a larger one keeps the clips of a smaller one.

    Args:
        out: an empty or new folder, or one in which this was begun with the same seed.
        sizes: clips per split.
        seed: of everything.
        jobs: processes.
        progress: called with "clips", how many are there, and how many there will be.

    Raises:
        OutputError: no clip is asked for, `out` holds something else, or another process is writing it.
    """
    if sizes.total == 0:
        raise OutputError(f"{out}: no clips are asked for; give --train, --val, --dev or --test a number above 0")
    with locked(out):
        _claim(out, sizes, seed)
        progress("clips", 0, sizes.total)
        for done, _ in enumerate(render_cameras(out, sizes, seed=seed, jobs=jobs), 1):
            progress("clips", done, sizes.total)
    logger.info(f"{out}: {', '.join(f'{count} {split}' for split, count in asdict(sizes).items())} clips with captions and spans")


def _claim(out: Path, sizes: Sizes, seed: int) -> None:
    """Take an empty folder, or one in which the same data set, or a smaller one, was begun."""
    mark = out / MARK
    if mark.is_file():
        _compare(out, mark, sizes, seed)
        logger.info(f"going on in {out}, where scenes were begun; clips that are there are kept")
    elif out.exists() and not out.is_dir():
        raise OutputError(f"{out}: a file; wsra scenes wants an empty folder: choose another place")
    elif out.exists() and any(out.iterdir()):
        raise OutputError(f"{out}: not empty; wsra scenes wants an empty folder: choose another place")
    out.mkdir(parents=True, exist_ok=True)
    with replacing(mark) as part:
        part.write_text(json.dumps({"version": VERSION, "seed": seed, **asdict(sizes)}) + "\n", encoding="utf-8")


def _compare(out: Path, mark: Path, sizes: Sizes, seed: int) -> None:
    try:
        begun = json.loads(mark.read_text(encoding="utf-8"))
        there = Sizes(**{field.name: int(begun[field.name]) for field in fields(Sizes)})
        version, its_seed = begun["version"], begun["seed"]
    except (ValueError, KeyError, TypeError) as err:
        raise OutputError(f"{mark}: cannot be read ({err}); choose another place, or remove the folder") from err
    if version != VERSION:
        raise OutputError(
            f"{out}: holds scenes of version {version}, this is version {VERSION}; choose another place, or remove the folder"
        )
    if its_seed != seed:
        raise OutputError(f"{out}: holds scenes of seed {its_seed}, not of {seed}; choose another place, or give --seed {its_seed}")
    for split, count in asdict(there).items():
        if getattr(sizes, split) < count:
            raise OutputError(f"{out}: holds {count} {split} clips, {getattr(sizes, split)} are asked for; give --{split} {count} or more")
