"""`wsra doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import DeviceOption, JsonOption, print_json


def doctor(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle to check as well; default: $WSRA_BUNDLE, else ./bundle.")] = None,
    device: DeviceOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Check this machine: what it has, what stops grounding, and what to do."""
    from wsra.runtime.doctor.doctor import can_ground, doctor_json, doctor_table, examine

    checks = examine(bundle, gpu=device)
    if as_json:
        print_json(doctor_json(checks))
    else:
        from wsra.runtime.terminal.display import stdout_console

        stdout_console().print(doctor_table(checks))
    if not can_ground(checks):
        raise typer.Exit(1)
