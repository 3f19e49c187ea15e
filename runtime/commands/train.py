"""`wsra train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    run: Annotated[Path, typer.Argument(help="The run file, RUN.toml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint; by default runs/NAME, after the run file NAME.toml.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; overrides the run file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last saved state of the checkpoint.")] = False,
) -> None:
    """Train a scorer from captions without times."""
    from wsra.runtime.terminal.console import progress_shown
    from wsra.runtime.terminal.streams import print_path
    from wsra.train.command import train_run

    with progress_shown() as progress:
        checkpoint = train_run(run, out or Path("runs") / run.stem, settings or [], resume=resume, progress=progress)
    print_path(checkpoint)
