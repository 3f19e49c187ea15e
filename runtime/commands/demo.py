"""`wsra demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JobsOption, JsonOption, print_json
from wsra.runtime.errors import MissingExtraError
from wsra.runtime.terminal.console import progress_shown


def demo(
    out: Annotated[Path, typer.Option(help="An empty or new folder.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=24, help="Number of training clips; validation and test clips come on top.")] = 400,
    epochs: Annotated[int, typer.Option(min=1, help="Number of training epochs.")] = 20,
    seed: Annotated[int, typer.Option(help="Random seed for the whole demo.")] = 0,
    jobs: JobsOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Render clips, extract features, train from captions, export, ground, and compare with controls."""
    try:
        from wsra.export.demo.demo import run_demo
        from wsra.export.demo.report import demo_view, next_commands
    except ModuleNotFoundError as err:
        raise MissingExtraError(str(err.name), "demo", "wsra demo") from err

    with progress_shown() as progress:
        report = run_demo(out, clips=clips, epochs=epochs, seed=seed, jobs=jobs, progress=progress)
    if as_json:
        print_json(report)
    else:
        from wsra.runtime.terminal.display import stdout_console

        console = stdout_console()
        console.print(demo_view(report, out, width=min(console.width, 100)))
        for command in next_commands(report, out):
            console.print(f"  {command}", soft_wrap=True)  # so that it can be copied
