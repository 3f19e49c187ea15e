"""`wsra scenes`: renders a data set into a folder and shows progress."""

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
VERSION = 1  # changes when a seed gives different clips


def run_scenes(out: Path, sizes: Sizes, *, seed: int, jobs: int, progress: Progress = unseen) -> None:
    """Render a data set, or continue an interrupted one; a larger set keeps the clips of a smaller one.

    Args:
        out: an empty or new folder, or one that holds an unfinished set with the same seed.
        sizes: number of clips per split.
        seed: decides everything that is random.
        jobs: number of processes.
        progress: called with "clips", the number that exist and the total.

    Raises:
        OutputError: `sizes` has no clips, `out` holds something else, or another process is writing it.
    """
    if sizes.total == 0:
        raise OutputError(f"{out}: no clips requested; give --train, --val, --dev or --test a number above 0")
    with locked(out):
        _claim(out, sizes, seed)
        progress("clips", 0, sizes.total)
        for done, _ in enumerate(render_cameras(out, sizes, seed=seed, jobs=jobs), 1):
            progress("clips", done, sizes.total)
    logger.info(f"{out}: {', '.join(f'{count} {split}' for split, count in asdict(sizes).items())} clips with captions and spans")


def _claim(out: Path, sizes: Sizes, seed: int) -> None:
    """Claim an empty folder, or one that holds this data set or a smaller one, finished or not."""
    mark = out / MARK
    if mark.is_file():
        _compare(out, mark, sizes, seed)
        logger.info(f"{out} holds an unfinished set of scenes; its clips are kept")
    elif out.exists() and not out.is_dir():
        raise OutputError(f"{out}: a file; expected an empty or new folder: choose another place")
    elif out.exists() and any(out.iterdir()):
        raise OutputError(f"{out}: not empty; expected an empty or new folder: choose another place")
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
            raise OutputError(
                f"{out}: holds {count} {split} clips, but {getattr(sizes, split)} were requested; give --{split} {count} or more"
            )
