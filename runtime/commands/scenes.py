"""`wsra scenes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JobsOption
from wsra.runtime.errors import MissingExtraError
from wsra.runtime.terminal.console import progress_shown


def scenes(
    out: Annotated[Path, typer.Argument(help="An empty or new folder, or one with an unfinished set.")],
    train: Annotated[int, typer.Option(min=0, help="Training clips.")] = 400,
    val: Annotated[int, typer.Option(min=0, help="Validation clips, which look like the training clips.")] = 50,
    dev: Annotated[int, typer.Option(min=0, help="Development clips, which look different; use them to choose settings.")] = 100,
    test: Annotated[int, typer.Option(min=0, help="Test clips, which look different again; evaluate on them once.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the whole data set.")] = 0,
    jobs: JobsOption = 2,
) -> None:
    """Render clips closer to real footage than those of the demo, with captions, spans, and sentences that are true of nobody."""
    try:
        from wsra.train.scenes.cameras.command import run_scenes
        from wsra.train.scenes.cameras.render import Sizes
    except ModuleNotFoundError as err:
        raise MissingExtraError(str(err.name), "video", "wsra scenes") from err

    with progress_shown() as progress:
        run_scenes(out, Sizes(train, val, dev, test), seed=seed, jobs=jobs, progress=progress)
