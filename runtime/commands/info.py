"""`wsra info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JsonOption, print_json


def info(path: Annotated[Path, typer.Argument(help="X.feat, a checkpoint or a bundle.")], as_json: JsonOption = False) -> None:
    """Describe a .feat file, a checkpoint or a bundle."""
    from wsra.runtime.formats.describe import describe, info_table

    facts = describe(path)
    if as_json:
        print_json(facts)
    else:
        from wsra.runtime.terminal.display import stdout_console

        stdout_console().print(info_table(facts))
