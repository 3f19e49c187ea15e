"""`wsra calibrate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import JsonOption, print_json


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", show_default=False)],
    labels: Annotated[
        Path,
        typer.Argument(
            help="JSON lines with vid, query, duration and relevant_windows; an empty list: not true of the video.",
            show_default=False,
        ),
    ],
    features: Annotated[Path, typer.Option(help="Folder of the .feat files of the videos.")] = Path("features"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the new bundle; default: replace the old one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Calibrate confidences and false alarms on your own labels, without training."""
    from wsra.calib.labels import calibrate_on_labels
    from wsra.runtime.terminal.console import print_message, progress_shown
    from wsra.runtime.terminal.streams import print_path

    with progress_shown() as progress:
        presence = calibrate_on_labels(bundle, labels, features, out, progress)
    if as_json:
        print_json(asdict(presence))
    else:
        print_message(f"confidences are calibrated on the labels; now run wsra verify {out or bundle}")
        print_path(out or bundle)
