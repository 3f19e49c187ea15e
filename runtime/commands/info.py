"""`wsra info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JsonOption, print_json


def info(path: Annotated[Path, typer.Argument(help="A .feat file, a checkpoint or a bundle.")], as_json: JsonOption = False) -> None:
    """Show what a file or folder holds."""
    from wsra.runtime.formats.describe import bundle_table, describe, info_table

    facts = describe(path)
    if as_json:
        print_json(facts)
        return
    from wsra.runtime.terminal.display import stdout_console

    if facts["kind"] != "bundle":
        stdout_console().print(info_table(facts))
        return
    from wsra.runtime.backends.routes import measured_ms
    from wsra.runtime.device import this_device
    from wsra.runtime.formats.bundle import open_bundle

    stdout_console().print(bundle_table(facts, measured_ms(open_bundle(path), this_device())))
