"""`wsra verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JsonOption, ProviderOption, ThreadsOption, print_json


def verify(
    bundle: Annotated[Path | None, typer.Argument(help="The bundle; default $WSRA_BUNDLE, else ./bundle.")] = None,
    precision: Annotated[str, typer.Option(help="auto (all), fp32, fp16 or int8.")] = "auto",
    provider: ProviderOption = "auto",
    data: Annotated[Path | None, typer.Option(help="Labelled queries, as JSON lines with relevant_windows; give --features, too.")] = None,
    features: Annotated[Path | None, typer.Option(help="Folder of the .feat files of their videos.")] = None,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Check on this device every way to run a bundle: its tensors, and the moments it finds."""
    from wsra.runtime.formats.bundle import default_bundle
    from wsra.runtime.verification.verify import verify_bundle

    reports = verify_bundle(default_bundle(bundle), precision=precision, provider=provider, data=data, features=features, threads=threads)
    if as_json:
        print_json({"precisions": {name: report.to_json() for name, report in reports.items()}})
    else:
        from wsra.runtime.terminal.display import stdout_console
        from wsra.runtime.verification.table import verify_table

        stdout_console().print(verify_table(reports))
    if not all(report.passed for report in reports.values()):
        raise typer.Exit(1)
