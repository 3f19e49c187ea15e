"""`wsra demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JobsOption, JsonOption, print_json
from wsra.runtime.errors import MissingExtraError


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
        from wsra.export.demo.report import show_demo
    except ModuleNotFoundError as err:
        raise MissingExtraError(str(err.name), "demo", "wsra demo") from err

    report = run_demo(out, clips=clips, epochs=epochs, seed=seed, jobs=jobs)
    if as_json:
        print_json(report)
    else:
        show_demo(report, out)
