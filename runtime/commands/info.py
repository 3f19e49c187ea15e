"""`wsra info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JsonOption, print_json


def info(
    path: Annotated[Path, typer.Argument(help="A .feat file, a checkpoint or a bundle.")],
    vocabulary: Annotated[bool, typer.Option("--vocabulary", help="Of a bundle: the words of its training captions, counted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a file or folder holds."""
    from wsra.runtime.formats.describe import bundle_table, describe, describe_vocabulary, info_table, vocabulary_table

    facts = describe_vocabulary(path) if vocabulary else describe(path)
    if as_json:
        print_json(facts)
        return
    from wsra.runtime.terminal.display import stdout_console

    if vocabulary:
        stdout_console().print(vocabulary_table(facts))
        return
    if facts["kind"] != "bundle":
        stdout_console().print(info_table(facts))
        return
    from wsra.runtime.backends.records import measured_ms
    from wsra.runtime.device import this_device
    from wsra.runtime.formats.bundle import open_bundle

    stdout_console().print(bundle_table(facts, measured_ms(open_bundle(path), this_device())))
