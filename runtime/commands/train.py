"""`wsra train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def train(
    run: Annotated[Path, typer.Argument(help="The run file, RUN.toml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint; by default runs/NAME, after the run file NAME.toml.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value; overrides the run file.")] = None,
    objective: Annotated[str | None, typer.Option(help="module:name of an objective of your own; training.objective.")] = None,
    scorer: Annotated[str | None, typer.Option(help="module:name of a scorer of your own; training.scorer.")] = None,
    with_spans: Annotated[
        bool, typer.Option("--with-spans", help="Also learn from the spans of the captions: an upper bound, not a model to use.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last saved state of the checkpoint.")] = False,
) -> None:
    """Train a scorer from captions without times."""
    if with_spans and objective is not None:
        raise typer.BadParameter("--with-spans is an objective of its own; leave out --objective")
    chosen = {"training.objective": "spans" if with_spans else objective, "training.scorer": scorer}
    every = [*(settings or []), *(f"{key}={json.dumps(value)}" for key, value in chosen.items() if value is not None)]
    from wsra.runtime.terminal.console import progress_shown
    from wsra.runtime.terminal.streams import print_path
    from wsra.train.command import train_run

    with progress_shown() as progress:
        checkpoint = train_run(run, out or Path("runs") / run.stem, every, resume=resume, progress=progress)
    print_path(checkpoint)
